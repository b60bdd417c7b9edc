//go:build unix

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trusted writes a model that is signed, and returns its path and that of the public key.
func trusted(t *testing.T, palladium string) (model, public string) {
	t.Helper()
	dir := t.TempDir()
	model, public = filepath.Join(dir, "m1"), filepath.Join(dir, "key.pub")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err1 := x509.MarshalPKCS8PrivateKey(key)
	shared, err2 := x509.MarshalPKIXPublicKey(&key.PublicKey)
	err = errors.Join(err1, err2, os.Mkdir(model, 0o700), os.WriteFile(filepath.Join(model, "config.json"), []byte("{}"), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shared}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(palladium, "model", "sign", "--no-cache", "--key", filepath.Join(dir, "key.pem"), model).CombinedOutput(); err != nil {
		t.Fatalf("sign: %v: %s", err, out)
	}
	return model, public
}

// The command is the same process: a signal sent to guard reaches it, it handles it as it likes, and its status, or the
// signal that ended it, is what the caller sees.
func TestGuardPassesSignals(t *testing.T) {
	palladium := program(t)
	model, public := trusted(t, palladium)
	for _, c := range []struct {
		name, command string
		signal        syscall.Signal
		says          string
		status        int            // exit status; -1 when a signal ended it
		ended         syscall.Signal // that ended it
	}{
		{"handled", `trap 'echo mended; exit 9' TERM`, syscall.SIGTERM, "mended", 9, 0},
		{"interrupt handled", `trap 'echo mended; exit 8' INT`, syscall.SIGINT, "mended", 8, 0},
		{"hangup", `trap 'echo mended; exit 7' HUP`, syscall.SIGHUP, "mended", 7, 0},
		{"own use", `trap 'echo mended; exit 6' USR1`, syscall.SIGUSR1, "mended", 6, 0},
		{"not handled", `:`, syscall.SIGTERM, "", -1, syscall.SIGTERM},
		{"interrupt not handled", `:`, syscall.SIGINT, "", -1, syscall.SIGINT},
		{"killed", `trap '' TERM`, syscall.SIGKILL, "", -1, syscall.SIGKILL},
	} {
		t.Run(c.name, func(t *testing.T) {
			if signal.Ignored(c.signal) {
				t.Skipf("%s is ignored here, as under nohup: a shell cannot trap it", c.signal)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, palladium, "model", "guard", "--key", public, "--model", model, "--",
				"sh", "-c", c.command+`; echo $$; while :; do sleep 0.02; done`)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() || lines.Text() != strconv.Itoa(cmd.Process.Pid) {
				t.Errorf("the command is process %q, guard was %d", lines.Text(), cmd.Process.Pid)
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			said := ""
			for lines.Scan() {
				said += lines.Text()
			}
			_ = cmd.Wait() // the state says how it ended
			ended := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if said != c.says || cmd.ProcessState.ExitCode() != c.status || c.status < 0 && ended.Signal() != c.ended {
				t.Errorf("it said %q and ended with %s", said, cmd.ProcessState)
			}
		})
	}
}

// A signal that comes while the model is checked starts nothing, and says so with its status.
func TestGuardStoppedWhileChecking(t *testing.T) {
	palladium := program(t)
	model, public := trusted(t, palladium)
	started, stopped := 0, 0
	for i := range 12 {
		mark := filepath.Join(t.TempDir(), "mark")
		cmd := exec.Command(palladium, "model", "guard", "--key", public, "--model", model, "--", "sh", "-c", "echo >"+mark)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 8 * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		_, err := os.Stat(mark)
		switch {
		case err == nil:
			started++
		case cmd.ProcessState.Success():
			t.Fatal("it ended with success, and the command did not run")
		default:
			stopped++
		}
	}
	t.Logf("%d started, %d stopped before", started, stopped)
	if stopped == 0 {
		t.Error("no signal came before the start")
	}
}

// What the kernel gives the command is what guard was given: open files, limits and folder.
func TestGuardLeavesTheRestAlone(t *testing.T) {
	palladium := program(t)
	model, public := trusted(t, palladium)
	line := `pwd; ulimit -n; ls /proc/self/fd 2>/dev/null | wc -l; umask`
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	alone := run("sh", "-c", line)
	if got := run(palladium, "model", "guard", "--key", public, "--model", model, "--", "sh", "-c", line); got != alone {
		t.Errorf("with guard %q, without %q", got, alone)
	}
}
