package serve

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/notify"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/tap/file"
	"github.com/palladium-guard/palladium/world"
	worldrecord "github.com/palladium-guard/palladium/world/record"
)

// poured gives recorded traffic to a stream, without loss.
type poured struct {
	ctx context.Context
	p   *stream.Publisher
}

func (f poured) Describe(a *palladium.Account) error    { return f.p.DescribeWait(f.ctx, a) }
func (f poured) NameModel(hash uint64, name string)     { f.p.NameModel(hash, name) }
func (f poured) Observe(o *palladium.Observation) error { return f.p.ObserveWait(f.ctx, o) }
func (f poured) Reached([]file.Position) error          { return nil }

// pour writes the world of the demo, with a campaign in it, into a stream folder.
func pour(t *testing.T, dir string, key [32]byte) {
	t.Helper()
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no preset")
	}
	s.Seed = 1
	w, err := world.New(s, world.OwnCorpus(1))
	if err != nil {
		t.Fatal(err)
	}
	traffic := filepath.Join(t.TempDir(), "traffic")
	if _, err := worldrecord.Write(w, traffic, false, nil); err != nil {
		t.Fatal(err)
	}
	cues, err := app.Cues()
	if err != nil {
		t.Fatal(err)
	}
	to, err := stream.Open(t.Context(), stream.Config{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := to.Publisher("test")
	if _, err := app.Feed(t.Context(), file.Options{Paths: []string{traffic}, Formats: app.Formats()}, key, cues, poured{t.Context(), p}); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

// hook is a webhook's other end.
type hook struct {
	mu    sync.Mutex
	tries int
	took  map[string]int    // by message, how often it was taken
	kinds map[string]string // of messages
	act   func(h *hook, id string) (status int)
}

func (h *hook) state() (tries, took int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tries, len(h.took)
}

func (h *hook) set(act func(*hook, string) int) { h.mu.Lock(); h.act = act; h.mu.Unlock() }

func newHook(t *testing.T, secret string) (*hook, string) {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{took: map[string]int{}, kinds: map[string]string{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := wh.Verify(body, r.Header); err != nil {
			t.Errorf("the signature does not verify: %v", err)
		}
		var m struct{ Type string }
		_ = json.Unmarshal(body, &m)
		id := r.Header.Get("webhook-id")
		h.mu.Lock()
		h.tries++
		act := h.act
		h.mu.Unlock()
		status := act(h, id)
		if status == http.StatusOK {
			h.mu.Lock()
			h.took[id]++
			h.kinds[id] = m.Type
			h.mu.Unlock()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return h, srv.URL
}

// long waits for what a loaded machine may take long for.
func long(t *testing.T, p *part, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			_, figures := p.ask("/metrics")
			_, figures, _ = strings.Cut(figures, "# HELP palladium_detector_campaigns")
			t.Fatalf("%s does not happen:\n%s\n%.900s", what, p.said(), figures)
		}
	}
}

// Traffic with a campaign in it goes through real processes that are killed: one while it tells, one after it has told. The campaign
// is told of once, and so is all else that happened.
func TestACampaignIsToldOnceOverKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes and waits for a lease")
	}
	dir := t.TempDir()
	key := [32]byte([]byte(strings.Repeat("k", 32)))
	secret := notify.NewSecret()
	for name, text := range map[string]string{"token": adminKey, "measuring.key": string(key[:]), "soc": secret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pour(t, filepath.Join(dir, "stream"), key)
	db := catalog.Config{URL: "sqlite:" + filepath.Join(dir, "catalog.db")}
	cat, err := catalog.Open(t.Context(), db, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	if err := cat.SetMark(t.Context(), "notify", 1); err != nil { // all that happens is told, from the first
		t.Fatal(err)
	}
	h, url := newHook(t, secret)
	text := strings.NewReplacer("%D", dir, "%URL", url).Replace(`
gateway: {admin: {listen: "%ADMIN", token_file: "%D/token"}}
measuring_key: "%D/measuring.key"
stream: {dir: "%D/stream"}
catalog: {url: "sqlite:%D/catalog.db"}
archive: {off: true}
detector: {save_every: 1s}
ledger: {off: true}
api: {off: true}
enforcement: {mode: shadow}
notify: {sinks: [{name: soc, events: ["campaign.*"], allow: ["127.0.0.0/8"], timeout: 1s, webhook: {url: "%URL", secret_file: "%D/soc", insecure_http: true}}]}
`)
	refuse := func(*hook, string) int { return http.StatusServiceUnavailable }
	h.set(refuse)
	p := startPart(t, dir, "detector", text)
	long(t, p, "the first attempt", func() bool { tries, _ := h.state(); return tries > 0 })
	end := func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() }
	end() // it holds what it did not get through

	// The next is killed when one message was taken and noted. What it tells meanwhile gets no answer.
	gone := make(chan struct{})
	var once sync.Once
	h.set(func(*hook, string) int {
		status := http.StatusServiceUnavailable
		once.Do(func() { status = http.StatusOK })
		if status != http.StatusOK {
			<-gone
		}
		return status
	})
	p = startPart(t, dir, "detector", text)
	long(t, p, "one that is taken", func() bool { _, took := h.state(); return took == 1 })
	long(t, p, "the note of it", func() bool {
		done, _, err := cat.ListDeliveries(t.Context(), catalog.DeliveryQuery{Sink: "soc", Page: catalog.Page{Limit: 1000}})
		n := 0
		for _, d := range done {
			if d.Done != nil {
				n++
			}
		}
		return err == nil && n == 1
	})
	end()
	close(gone)

	h.set(func(*hook, string) int { return http.StatusOK })
	p = startPart(t, dir, "detector", text)
	wanted := func() (n, act int) {
		events, err := cat.EventsAfter(t.Context(), 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if m, ok := notify.FromEvent(&events[i], ""); ok && strings.HasPrefix(m.Kind, "campaign.") {
				n++
				if m.Kind == notify.KindAct {
					act++
				}
			}
		}
		return n, act
	}
	long(t, p, "all to be told", func() bool {
		n, act := wanted()
		_, took := h.state()
		return act > 0 && took == n
	})
	_, figures := p.ask("/metrics")
	for _, line := range []string{`palladium_notify_sent_total{sink="soc"}`, `palladium_notify_retried_total{sink="soc"}`, `palladium_notify_failed_total{sink="soc"} 0`, `palladium_notify_given_up_total{sink="soc"} 0`, `palladium_notify_waiting{sink="soc"} 0`} {
		if !strings.Contains(figures, line) {
			t.Errorf("the figures lack %s", line)
		}
	}
	time.Sleep(2 * time.Second)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.until("the end", func() bool { return strings.Contains(p.said(), "it is over") })
	n, act := wanted()
	h.mu.Lock()
	defer h.mu.Unlock()
	if acts := kindsOf(h.kinds, notify.KindAct); len(h.took) != n || acts != act || act == 0 {
		t.Errorf("%d messages for %d events, %d of campaigns at act for %d", len(h.took), n, acts, act)
	}
	for id, times := range h.took {
		if times != 1 {
			t.Errorf("%s of kind %s was taken %d times", id, h.kinds[id], times)
		}
	}
	t.Logf("%d events, %d of them of a campaign at act, told in %d attempts over two kills", n, act, h.tries)
}

func kindsOf(all map[string]string, kind string) (n int) {
	for _, k := range all {
		if k == kind {
			n++
		}
	}
	return n
}
