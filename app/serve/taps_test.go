package serve

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// record is what a process writes to its log.
type record struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *record) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *record) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const adminKey = "an-admin-token-for-tests"

// other is a system behind other people's gateways: taps and checks, and no gateway of its own.
func other(t *testing.T, dir string, more string) (admin string, said *record, stop func()) {
	t.Helper()
	token := filepath.Join(dir, "admin.token")
	config := filepath.Join(dir, "palladium.yaml")
	for name, text := range map[string]string{token: adminKey, config: fmt.Sprintf("gateway: {admin: {listen: 127.0.0.1:0, token_file: %q}}\napi: {off: true}\n%s", token, more)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	said = &record{}
	go func() {
		done <- Run(ctx, Options{Config: config, State: filepath.Join(dir, "state"), Roles: []Role{RoleDetector, RoleCheck}, Log: said, Ready: func(a Addresses) { ready <- a }})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%v\n%s", err, said)
		}
	})
	t.Cleanup(stop)
	select {
	case a := <-ready:
		return a.Admin, said, stop
	case err := <-done:
		done <- nil
		t.Fatalf("%v\n%s", err, said)
		return "", nil, nil
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("X-Account", "acme")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// What Kafka and OTLP bring reaches the detector, once each; checks are answered; and the words that people said are found
// in no log, no figure and no file.
func TestTaps(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "traffic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.DefaultProduceTopic("traffic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	now := time.Now().UTC()
	exchange := func(id string) string {
		return fmt.Sprintf(`{"kind":"exchange","id":%q,"time":%q,"account":"acme","model":"m-1","messages":[{"role":"user","text":"tell me canaryprompt %s"}],"output":"canaryanswer"}`, id, now.Format(time.RFC3339), id)
	}
	for i := range 40 {
		cl.Produce(t.Context(), &kgo.Record{Value: []byte(exchange(fmt.Sprint("k", i)))}, nil)
	}
	cl.Produce(t.Context(), &kgo.Record{Value: []byte(exchange("k0"))}, nil)
	cl.Produce(t.Context(), &kgo.Record{Value: []byte(`{"canaryprompt":`)}, nil)
	cl.Produce(t.Context(), &kgo.Record{Value: []byte(`{"kind":"account","account":"acme","plan":"pro"}`)}, nil)
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir, otlpAt, checkAt := t.TempDir(), free(t), free(t)
	admin, said, stop := other(t, dir, fmt.Sprintf("taps:\n  kafka: {brokers: [%q], topics: [traffic], session: 6s}\n  otlp: {http: %q}\ncheck: {http: %q, account: {header: x-account}}\n",
		broker.ListenAddrs()[0], otlpAt, checkAt))
	span := fmt.Sprintf(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","startTimeUnixNano":"%d","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.input.messages","value":{"stringValue":"[{\"role\":\"user\",\"content\":\"canaryprompt in a span\"}]"}},{"key":"user.id","value":{"stringValue":"globex"}}]}]}]}]}`, now.UnixNano())
	for range 2 {
		resp, err := http.Post("http://"+otlpAt+"/v1/traces", "application/json", strings.NewReader(span))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("OTLP: %d", resp.StatusCode)
		}
	}
	// What a tap has counted shows after the detector has it: who reads from Kafka counts a batch once it is on the stream.
	wants := []string{"palladium_detector_observations_total 41\n", "palladium_kafka_exchanges_total 40\n", "palladium_kafka_duplicates_total 1\n",
		"palladium_kafka_rejected_total 1\n", "palladium_kafka_accounts_total 1\n", "palladium_otlp_exchanges_total 1\n", "palladium_otlp_duplicates_total 1\n"}
	var figures string
	until(t, said, "the detector takes in what came, and the taps count it", func() bool {
		_, figures = fetch(t, "http://"+admin+"/metrics")
		return !slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(figures, "\n"+want) })
	})
	if status, _ := fetch(t, "http://"+checkAt+"/auth"); status != 204 {
		t.Errorf("a check got %d", status)
	}
	_, health := fetch(t, "http://"+admin+"/healthz")
	for _, part := range []string{`"name":"kafka","ok":true`, `"name":"otlp","ok":true`, `"name":"check"`} {
		if !strings.Contains(health, part) {
			t.Errorf("health lacks %s: %s", part, health)
		}
	}
	stop()
	noCanary(t, dir, said.String()+figures+health)
}

func TestWrongTaps(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"kafka":   {"taps: {kafka: {brokers: [x], topics: [t]}}", "host:port"},
		"topics":  {"taps: {kafka: {topics: [t]}}", "at least one broker"},
		"otlp":    {"taps: {otlp: {http: \"0.0.0.0:4318\"}}", "can be reached from elsewhere"},
		"check":   {"check: {http: \"127.0.0.1:0\"}", "how an account is known"},
		"dialect": {"taps: {kafka: {brokers: [\"127.0.0.1:1\"], topics: [t], dialect: x}}", "otlp-spans otlp-logs"},
		"key":     {"taps: {kafak: {}}", `did you mean "kafka"`},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "p.yaml")
		if err := os.WriteFile(file, []byte("api: {off: true}\n"+c.more), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := Run(ctx, Options{Config: file, State: filepath.Join(dir, "state"), Roles: []Role{RoleDetector, RoleCheck}, Log: io.Discard})
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
