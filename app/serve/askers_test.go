package serve

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
)

// documented is the first block of a language in a document.
func documented(t *testing.T, file, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```"+language+"\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatalf("no block of %s in %s", language, file)
	}
	return block
}

// housed is a system in this process whose board can be asked.
func housed(t *testing.T, o Options) *house {
	t.Helper()
	h := &house{o: o, log: slog.New(slog.NewTextHandler(o.Log, nil)), failed: make(chan error, 8), self: self(), since: time.Now(), publishers: map[string]*stream.Publisher{}}
	var err error
	if h.file, err = h.load(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	err = h.open(ctx)
	if err == nil {
		err = h.start(ctx)
	}
	t.Cleanup(func() {
		stop()
		h.work.Wait()
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// says is an OpenTelemetry SDK that tells of one exchange.
func says(t *testing.T, e sdktrace.SpanExporter, err error, account, words string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))
	_, span := p.Tracer("gateway").Start(t.Context(), "chat m-1", trace.WithAttributes(attribute.String("gen_ai.operation.name", "chat"),
		attribute.String("user.id", account), attribute.String("gen_ai.input.messages", fmt.Sprintf(`[{"role":"user","content":%q}]`, words))))
	span.End()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// suspend has the members of a campaign be suspended by a person.
func suspend(t *testing.T, h *house, account string) {
	t.Helper()
	now := time.Now().UTC()
	c := palladium.Campaign{ID: "c-one", Stage: palladium.StageReview, First: now.Add(-time.Hour), Last: now, Accounts: []palladium.Member{{ID: account, Membership: 1}}}
	if _, err := live.NewActor(h.board).Act(t.Context(), &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{c}}); err != nil {
		t.Fatal(err)
	}
	d, err := h.board.Decide(t.Context(), api.Draft{Campaign: "c-one", Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.",
		Expires: now.Add(24 * time.Hour), By: "ana"})
	if err != nil || d.State != catalog.StateEnforced {
		t.Fatalf("%+v %v", d, err)
	}
}

// What other people's gateways tell of a campaign's draw counts against its budget, over all of its accounts and for nobody else.
func TestBudgetByCheck(t *testing.T) {
	at := free(t)
	h := housed(t, Options{Log: &record{}, State: filepath.Join(t.TempDir(), "state"), Roles: []Role{RoleDetector, RoleCheck},
		Config: put(t, t.TempDir(), "palladium.yaml", "check: {http: \""+at+"\", account: {header: x-account}}\nenforcement: {mode: enforce}\n")})
	now := time.Now().UTC()
	c := palladium.Campaign{ID: "c-one", Stage: palladium.StageReview, First: now.Add(-time.Hour), Last: now, Accounts: []palladium.Member{{ID: "a", Membership: 1}, {ID: "b", Membership: 1}}}
	if _, err := live.NewActor(h.board).Act(t.Context(), &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{c}}); err != nil {
		t.Fatal(err)
	}
	d, err := h.board.Decide(t.Context(), api.Draft{Campaign: "c-one", Measure: palladium.MeasureBudget, Reason: "campaign.extraction", Text: "They extract.",
		Expires: now.Add(24 * time.Hour), By: "ana", Terms: catalog.Terms{Tokens: 100_000}})
	if err != nil || d.State != catalog.StateEnforced {
		t.Fatalf("%+v %v", d, err)
	}
	ask := overHTTP(t, "POST", "http://"+at+"/v1/check", `{"account":"%A"}`, func(string) (string, string) { return "Content-Type", "application/json" })
	answered := func(account, want string) {
		t.Helper()
		var says string
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if _, says = ask(account); strings.Contains(says, want) {
				return
			}
		}
		t.Fatalf("%s is answered %s, wanted %s", account, says, want)
	}
	answered("a", `"tokens_left":100000`)
	tap := h.publisher("tap")
	tell := func(account string, id uint64, tokens int64) {
		tap.Observe(&palladium.Observation{ID: id, Account: account, Time: time.Now().UnixMilli(), Usage: palladium.Usage{Output: tokens}})
	}
	tell("a", 1, 60_000)
	answered("b", `"tokens_left":40000`)
	tell("b", 2, 50_000)
	tell("c", 3, 50_000)
	answered("a", `"status":429`)
	answered("b", `"status":429`)
	answered("c", `"allow":true`)
}

// asker says with which status an account is answered.
type asker func(account string) (status int, says string)

func overHTTP(t *testing.T, method, url, body string, header func(account string) (name, value string)) asker {
	return func(account string) (int, string) {
		r, _ := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(strings.ReplaceAll(body, "%A", account)))
		name, value := header(account)
		r.Header.Set(name, value)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, fmt.Sprint(resp.Header, string(b))
	}
}

// overGRPC asks as Envoy does.
func overGRPC(t *testing.T, address string) asker {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := authv3.NewAuthorizationClient(conn)
	return func(account string) (int, string) {
		got, err := c.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: "/v1/chat/completions", Headers: map[string]string{"x-account": account},
		}}}})
		if err != nil {
			return 0, err.Error()
		}
		if d := got.GetDeniedResponse(); d != nil {
			return int(d.GetStatus().GetCode()), fmt.Sprint(got)
		}
		return http.StatusOK, fmt.Sprint(got)
	}
}

// started is a gateway of somebody else's, by the file that users are given with the addresses changed.
func started(t *testing.T, file string, addresses *strings.Replacer, at string, command func(dir, config string) []string) asker {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := command(dir, addresses.Replace(string(text)))
	cmd := exec.Command(args[0], args[1:]...)
	out := &record{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", at); err == nil {
			_ = c.Close()
			break
		} else if time.Now().After(end) {
			t.Fatalf("%s: the gateway does not start:\n%s", file, out)
		}
	}
	return overHTTP(t, "POST", "http://"+at+"/v1/chat/completions", "{}", func(account string) (string, string) { return "Authorization", "Bearer key-of-" + account })
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ours are the addresses in the place of those that documents and deploy files name.
func ours(named ...string) *strings.Replacer {
	var pairs []string
	for i := 0; i < len(named); i += 2 {
		_, port, _ := net.SplitHostPort(named[i+1])
		pairs = append(pairs, "127.0.0.1:"+named[i], named[i+1], "port_value: "+named[i], "port_value: "+port)
	}
	return strings.NewReplacer(pairs...)
}

// The configuration of docs/taps.md runs: the SDK's exporters and Kafka are heard, a decision of a person reaches everybody
// who asks, by each way of asking and through the gateways that are on this machine, and the words that people said are in
// no log, no figure, no answer and no file.
func TestDocumentedTaps(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "traffic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the model's answer") }))
	t.Cleanup(model.Close)
	dir, admin, overG, overH, checkH, checkG := t.TempDir(), free(t), free(t), free(t), free(t), free(t)
	token := put(t, dir, "admin.token", adminKey)
	text := ours("9092", broker.ListenAddrs()[0], "4317", overG, "4318", overH, "9191", checkH, "9192", checkG).Replace(documented(t, "docs/taps.md", "yaml"))
	accounts := put(t, dir, "accounts.jsonl", `{"kind":"account","account":"acme","plan":"pro"}`+"\n")
	text = strings.ReplaceAll(text, "accounts.jsonl", accounts)
	out := &record{}
	h := housed(t, Options{Log: out, State: filepath.Join(dir, "state"), Roles: []Role{RoleDetector, RoleCheck},
		Config: put(t, dir, "palladium.yaml", fmt.Sprintf("gateway: {admin: {listen: %q, token_file: %q}}\n%s", admin, token, text))})

	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.DefaultProduceTopic("traffic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	cl.Produce(t.Context(), &kgo.Record{Value: fmt.Appendf(nil, `{"kind":"exchange","id":"k1","time":%q,"account":"acme","model":"m-1","messages":[{"role":"user","text":"canaryprompt"}],"output":"canaryanswer"}`,
		time.Now().UTC().Format(time.RFC3339))}, nil)
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(overG), otlptracegrpc.WithInsecure())
	says(t, e, err, "acme", "canaryprompt by gRPC")
	e, err = otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(overH), otlptracehttp.WithInsecure())
	says(t, e, err, "globex", "canaryprompt by HTTP")
	figures := ""
	until(t, out, "three exchanges are taken in", func() bool {
		_, figures = fetch(t, "http://"+admin+"/metrics")
		return strings.Contains(figures, "\npalladium_detector_observations_total 3\n")
	})
	suspend(t, h, "acme")

	account := func(a string) (string, string) { return "X-Account", a }
	askers := map[string]asker{
		"auth":  overHTTP(t, "GET", "http://"+checkH+"/auth", "", account),
		"check": overHTTP(t, "POST", "http://"+checkH+"/v1/check", `{"account":"%A"}`, func(string) (string, string) { return "Content-Type", "application/json" }),
		"grpc":  overGRPC(t, checkG),
	}
	until(t, out, "the verdict arrives", func() bool { status, _ := askers["auth"]("acme"); return status == 403 })
	upstream := strings.TrimPrefix(model.URL, "http://")
	if path, err := exec.LookPath("nginx"); err == nil {
		at := free(t)
		askers["nginx"] = started(t, "nginx/palladium.conf", ours("8080", at, "9191", checkH, "8000", upstream), at, func(dir, conf string) []string {
			main := fmt.Sprintf("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", dir)
			for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				main += fmt.Sprintf("%s_temp_path %s/%s;\n", name, dir, name)
			}
			return []string{path, "-c", put(t, dir, "nginx.conf", main+conf+"\n}\n"), "-p", dir}
		})
	} else {
		t.Log("SKIPPED: no nginx on this machine: install the package nginx")
	}
	if path := os.Getenv("PALLADIUM_TEST_ENVOY"); path != "" {
		at := free(t)
		askers["envoy"] = started(t, "envoy/envoy.yaml", ours("8080", at, "9192", checkG, "8000", upstream), at, func(dir, conf string) []string {
			return []string{path, "-c", put(t, dir, "envoy.yaml", conf), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"}
		})
	} else {
		t.Log("SKIPPED: no Envoy: conformance/check/run fetches one and sets PALLADIUM_TEST_ENVOY to it")
	}
	told := ""
	for name, ask := range askers {
		refused, says := ask("acme")
		told += says
		if name == "check" { // the answer is in the body
			if refused != 200 || !strings.Contains(says, `"allow":false`) || !strings.Contains(says, `"status":403`) {
				t.Errorf("%s, a suspended account: %d %s", name, refused, says)
			}
		} else if refused != 403 || !strings.Contains(says, "campaign.extraction") {
			t.Errorf("%s, a suspended account: %d %s", name, refused, says)
		}
		if status, says := ask("globex"); status >= 300 || status == 0 || name == "check" && !strings.Contains(says, `"allow":true`) {
			t.Errorf("%s, an honest account: %d %s", name, status, says)
		}
	}
	_, figures = fetch(t, "http://"+admin+"/metrics")
	noCanary(t, dir, out.String()+figures+told)
}

func until(t *testing.T, out *record, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not happen that %s:\n%s", what, out)
		}
	}
}

// noCanary looks for what people said in what was told, and in every file of a folder.
func noCanary(t *testing.T, dir, all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all += string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"canaryprompt", "canaryanswer"} {
		if i := strings.Index(all, word); i >= 0 {
			t.Errorf("%s is found: …%q…", word, all[max(0, i-100):i+50])
		}
	}
}
