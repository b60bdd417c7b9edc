package notify

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/palladium-guard/palladium/store/catalog"
)

// receiver is a webhook's other end. It verifies with the specification's own library.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	ids    []string
	kinds  []string
	status int // answered; 0: 200
}

func newReceiver(t *testing.T, secret string) *receiver {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if err := wh.Verify(body, req.Header); err != nil {
			t.Errorf("the signature does not verify: %v", err)
		}
		var m struct{ Type string }
		_ = json.Unmarshal(body, &m)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids, r.kinds = append(r.ids, req.Header.Get("webhook-id")), append(r.kinds, m.Type)
		if r.status != 0 {
			w.WriteHeader(r.status)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(status int) { r.mu.Lock(); r.status = status; r.mu.Unlock() }

func (r *receiver) got() (ids, kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.ids...), append([]string{}, r.kinds...)
}

func openCatalog(t *testing.T) *catalog.Store {
	t.Helper()
	c, err := catalog.Open(t.Context(), catalog.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "c.db")}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func webhookSink(url string) Config {
	return Config{Sinks: []Sink{{
		Name: "soc", Allow: []string{"127.0.0.0/8"}, Timeout: time.Second, Webhook: &Webhook{URL: url, SecretEnv: "NOTIFY_TEST_SECRET", InsecureHTTP: true},
	}}}
}

func openQuick(t *testing.T, cat *catalog.Store, c Config) *Notifier {
	t.Helper()
	n, err := Open(Options{Config: c, Catalog: cat, Origin: "https://console.example", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.pace = pace{first: 5 * time.Millisecond, most: 20 * time.Millisecond, idle: 5 * time.Millisecond, mark: 100 * time.Millisecond, grace: time.Second}
	return n
}

// runs starts n; the function returned ends it in order.
func runs(t *testing.T, n *Notifier) func() {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	return func() { stop(); <-done }
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func staged(id string) *catalog.Event {
	return &catalog.Event{At: time.Now(), Actor: "system", Kind: "campaign.staged", Subject: "campaign:" + id, Data: []byte(`{"from":"watch","to":"act","accounts":120}`), LedgerIndex: -1}
}

func TestToldOnceAndNotAgainAfterARestart(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	r, cat := newReceiver(t, secret), openCatalog(t)
	if err := cat.Append(t.Context(), staged("before")); err != nil {
		t.Fatal(err)
	}
	n := openQuick(t, cat, webhookSink(r.URL))
	if err := n.gather(t.Context()); err != nil { // begins after what has happened before
		t.Fatal(err)
	}
	if err := cat.Append(t.Context(), staged("c1"), staged("c2")); err != nil {
		t.Fatal(err)
	}
	r.set(503)
	stop := runs(t, n)
	until(t, "a refused attempt", func() bool { ids, _ := r.got(); return len(ids) > 2 })
	r.set(0)
	until(t, "both told", func() bool { return n.Figures()[0].Sent == 2 })
	stop()
	ids, kinds := r.got()
	distinct := map[string]bool{}
	for _, id := range ids {
		distinct[id] = true
	}
	if len(distinct) != 2 || kinds[0] != KindAct {
		t.Fatalf("%d ids for 2 messages, kinds %v", len(distinct), kinds)
	}
	again := openQuick(t, cat, webhookSink(r.URL))
	stop = runs(t, again)
	if err := cat.Append(t.Context(), staged("c3")); err != nil {
		t.Fatal(err)
	}
	until(t, "the new one told", func() bool { return again.Figures()[0].Sent == 1 })
	time.Sleep(50 * time.Millisecond)
	stop()
	if now, _ := r.got(); len(now) != len(ids)+1 {
		t.Fatalf("%d messages after the restart, not 1", len(now)-len(ids))
	}
}

func TestWhatWasSentAndNotNotedIsSentAgainWithTheSameID(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	r, cat := newReceiver(t, secret), openCatalog(t)
	n := openQuick(t, cat, webhookSink(r.URL))
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cat.Append(t.Context(), staged("c1")); err != nil {
		t.Fatal(err)
	}
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What a process does that is killed after the answer: it claims, sends, and notes nothing.
	ds, err := cat.ClaimDeliveries(t.Context(), "soc", time.Now(), 100*time.Millisecond, 1)
	if err != nil || len(ds) != 1 {
		t.Fatalf("claimed %d: %v", len(ds), err)
	}
	m, _ := FromEvent(staged("c1"), "")
	if _, err := n.workers()[0].send(t.Context(), ds[0].ID, m); err != nil {
		t.Fatal(err)
	}
	stop := runs(t, openQuick(t, cat, webhookSink(r.URL)))
	until(t, "sent again", func() bool { ids, _ := r.got(); return len(ids) == 2 })
	stop()
	if ids, _ := r.got(); ids[0] != ids[1] {
		t.Fatalf("told under two ids: %v", ids)
	}
}

func TestGivenUpAndShown(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	r, cat := newReceiver(t, secret), openCatalog(t)
	r.set(400)
	c := webhookSink(r.URL)
	c.GiveUp = time.Millisecond
	n := openQuick(t, cat, c)
	if err := n.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cat.Append(t.Context(), staged("c1")); err != nil {
		t.Fatal(err)
	}
	stop := runs(t, n)
	until(t, "given up", func() bool { return n.Figures()[0].Dead == 1 })
	stop()
	if ids, _ := r.got(); len(ids) != minAttempts {
		t.Errorf("%d attempts, not %d", len(ids), minAttempts)
	}
	if ok, says := n.Health(t.Context()); ok || !strings.Contains(says, "given up") {
		t.Errorf("health: %v %s", ok, says)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "127.0.0.1": false, "10.1.2.3": false, "192.168.1.1": false, "172.16.0.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false, "::": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::101:101": true, "2002:7f00:1::": false, "::127.0.0.1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %v", text, got)
		}
	}
}

func TestRefusedAddressesAndRedirects(t *testing.T) {
	secret := NewSecret()
	t.Setenv("NOTIFY_TEST_SECRET", secret)
	hit := false
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer inside.Close()
	c := webhookSink(strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)) // a name that resolves to an inner address
	c.Sinks[0].Allow = nil
	if _, err := openQuick(t, nil, c).Try(t.Context(), "soc"); err == nil || !strings.Contains(err.Error(), "is not public") || hit {
		t.Errorf("an inner address was reached: %v, hit %v", err, hit)
	}
	away := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer away.Close()
	if _, err := openQuick(t, nil, webhookSink(away.URL)).Try(t.Context(), "soc"); err == nil || !strings.Contains(err.Error(), "redirects") || hit {
		t.Errorf("a redirect was followed: %v, hit %v", err, hit)
	}
}

func TestSlackHidesItsAddress(t *testing.T) {
	var body map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&body)
		http.Error(w, "no team at "+r.URL.Path, http.StatusNotFound)
	}))
	defer s.Close()
	t.Setenv("NOTIFY_TEST_URL", s.URL+"/services/T0/B0/sesame")
	n := openQuick(t, nil, Config{Sinks: []Sink{{Name: "chat", Allow: []string{"127.0.0.0/8"}, Slack: &Slack{URLEnv: "NOTIFY_TEST_URL", InsecureHTTP: true}}}})
	_, err := n.Try(t.Context(), "chat")
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("the error is %v", err)
	}
	if body["text"] == nil || body["attachments"] == nil {
		t.Errorf("sent %v", body)
	}
}

func TestFindingsKeepToTheSchema(t *testing.T) {
	f, err := os.Open("testdata/detection_finding-1.6.0.schema.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(z)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///ocsf.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("file:///ocsf.json")
	if err != nil {
		t.Fatal(err)
	}
	data := `{"stage":"act","from":"watch","to":"act","accounts":3,"measure":"slow","state":"enforced","outcome":"upheld","says":"x"}`
	seen := map[string]bool{}
	for _, kind := range []string{
		"campaign.found", "campaign.staged", "campaign.gone", "decision.made", "decision.approved", "decision.refused", "decision.undone", "decision.expired",
		"decision.released", "approval.expired", "appeal.made", "appeal.withdrawn", "appeal.decided", "ledger.failed", "ledger.restored", "health.failing", "health.restored",
	} {
		m, ok := FromEvent(&catalog.Event{At: time.Now(), Kind: kind, Subject: strings.SplitN(kind, ".", 2)[0] + ":x", Refs: []string{"campaign:c1", "account:secret"}, Data: []byte(data)}, "https://c.example")
		if !ok {
			t.Errorf("nothing is told of %s", kind)
			continue
		}
		seen[m.Kind] = true
		b, err := finding("msg_1", m)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if bytes.Contains(b, []byte("secret")) {
			t.Errorf("%s names an account", kind)
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d kinds were tried", len(seen))
	}
}
