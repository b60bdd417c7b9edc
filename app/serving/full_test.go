package serving

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The disk of the state is full, and has room again: callers are refused meanwhile and the gateway is not ready, then it serves
// by itself, and what is charged is what callers got.
func TestDiskFull(t *testing.T) {
	for _, outlive := range []string{"process", "machine"} {
		t.Run(outlive, func(t *testing.T) { diskFull(t, outlive) })
	}
}

func diskFull(t *testing.T, outlive string) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", disk).Run() })
	state, filler := filepath.Join(disk, "state"), filepath.Join(disk, "filler")
	r := run(t, strings.Replace(usual, `"%D/state"`, fmt.Sprintf("%q\n  outlive: %s", state, outlive), 1))
	ask := func(stream bool, fault string) (int, string) {
		return r.do("POST", r.base+"/v1/chat/completions", r.key, fmt.Sprintf(`{"model":"m","stream":%v,"messages":[{"role":"user","content":"hi"}],"max_tokens":50}`, stream),
			"X-Upstream-Fault", fault)
	}
	ready := func() (int, string) { return r.do("GET", r.adminURL+"/readyz", "", "") }
	drawn := 0
	chat := func() int {
		status, body := ask(false, "tokens=3")
		switch {
		case status == 200:
			drawn += 3
		case status != 503 || !strings.Contains(body, "budget.unavailable"):
			t.Fatalf("status %d: %s", status, body)
		}
		return status
	}
	if got := chat(); got != 200 {
		t.Fatal(got)
	}
	long := make(chan string, 1)
	begun := len(r.model.Seen())
	go func() {
		_, body := ask(true, "pace=30ms,tokens=20")
		long <- body
	}()
	r.until("the long answer", func() bool { return len(r.model.Seen()) > begun })
	time.Sleep(50 * time.Millisecond)
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
	r.until("the disk to be full", func() bool { return chat() == 503 })
	if status, _ := ready(); status != 503 {
		t.Errorf("ready with status %d on a full disk", status)
	}
	if _, got := r.do("GET", r.adminURL+"/healthz", "", ""); !strings.Contains(got, `"name":"budgets","ok":false`) || !strings.Contains(got, "no space left") {
		t.Errorf("health: %s", got)
	}
	if body := <-long; !strings.HasSuffix(body, "[DONE]\n\n") {
		t.Errorf("an answer that was under way ended with %.200q", body)
	}
	drawn += 20
	for range 3 {
		if got := chat(); got != 503 {
			t.Errorf("status %d on a full disk", got)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	took := r.until("readiness", func() bool { status, _ := ready(); return status == 200 })
	if took > 3*time.Second {
		t.Errorf("it goes on after %v", took)
	}
	if got := chat(); got != 200 {
		t.Fatalf("status %d after it", got)
	}
	if _, got := r.do("GET", r.adminURL+"/healthz", "", ""); !strings.Contains(got, `"name":"budgets","ok":true`) {
		t.Errorf("health: %s", got)
	}
	r.stop()
	err := <-r.ended
	r.ended <- err
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s := &site{log: newLog(r.log)}
	s.life, s.end = context.WithCancel(ctx)
	if _, err := s.openState(state, 0); err != nil {
		t.Fatal(err)
	}
	defer s.journal.Close()
	if used := usedToday(s); used != int64(drawn) {
		t.Errorf("callers got %d tokens, after a start %d are charged", drawn, used)
	}
	t.Logf("%d tokens drawn; served again %v after there was room", drawn, took)
}
