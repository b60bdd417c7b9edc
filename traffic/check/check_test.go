package check

import (
	"context"
	"encoding/json"
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

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/secret"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// table holds one account for each measure, named after it, and shadow:MEASURE for each in shadow mode.
func table(t testing.TB) *verdict.Holder {
	t.Helper()
	now := time.Now()
	var list []palladium.Verdict
	for _, m := range palladium.Measures() {
		v := palladium.Verdict{
			ID: "v-" + string(m), Account: string(m), Campaign: "c1", Measure: m, Reason: "campaign.extraction", Issued: now.Add(-time.Hour),
			Expires: now.Add(time.Hour), Appeal: "ref-" + string(m), Delay: 150 * time.Millisecond, TokensPerSecond: 20, Tokens: 1000, Model: "small",
		}
		list = append(list, v)
		v.Shadow, v.ID, v.Account = true, "s-"+string(m), "shadow:"+string(m)
		list = append(list, v)
	}
	made, err := verdict.New(1, now, list)
	if err != nil {
		t.Fatal(err)
	}
	h := verdict.NewHolder(0)
	if err := h.Swap(made, now); err != nil {
		t.Fatal(err)
	}
	return h
}

// spent is a budget with as many tokens left.
type spent int64

func (s spent) Left(campaign string, limit int64, _ time.Time) (int64, time.Duration) {
	if campaign != "c1" || limit != 1000 {
		return 0, 0
	}
	return int64(s), 90 * time.Minute
}

// callers knows who sends its name as a key.
type callers struct{}

func (callers) Identify(r *http.Request) Identity {
	switch key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); key {
	case "":
		return Identity{Reason: "credential.missing"}
	case "expired":
		return Identity{Reason: "credential.expired"}
	case "down":
		return Identity{Unavailable: true}
	default:
		return Identity{Account: key}
	}
}

func config(change func(*Config)) Config {
	c := Config{HTTP: "127.0.0.1:0", Account: Account{Header: "x-account"}, Appeal: "https://example.com/appeal", Verify: "https://example.com/verify"}
	if change != nil {
		change(&c)
	}
	c.Fill()
	return c
}

func made(t testing.TB, o Options) *Door {
	t.Helper()
	if o.Verdicts == nil {
		o.Verdicts = table(t)
	}
	d, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Each measure gives the answer that it stands for; none refuses more than its verdict says.
func TestDecide(t *testing.T) {
	broken := table(t)
	broken.Fail(fmt.Errorf("unreadable"))
	routes := []Route{
		{Path: "/health", Skip: true}, {Path: "/open/*", Failure: FailOpen}, {Path: "/shut/*", Failure: FailClosed},
		{Path: "/trial/*", Mode: Shadow, Failure: FailClosed}, {Path: "/trial/real/*", Mode: Enforce},
	}
	for _, c := range []struct {
		account, path string
		reason        string // why no account is known
		broken        bool
		spending      Spending
		missing       string
		want          string // status, measure, reason, shadow
	}{
		{account: "nobody", want: "200   "},
		{account: "observe", want: "200 observe campaign.extraction "},
		{account: "slow", want: "200 slow campaign.extraction "},
		{account: "budget", want: "200 budget campaign.extraction "},
		{account: "budget", spending: spent(5), want: "200 budget campaign.extraction "},
		{account: "budget", spending: spent(0), want: "429 budget campaign.extraction "},
		{account: "budget", spending: spent(-7), want: "429 budget campaign.extraction "},
		{account: "withhold", want: "200 withhold campaign.extraction "},
		{account: "smaller-model", want: "200 smaller-model campaign.extraction "},
		{account: "step-up", want: "403 step-up campaign.extraction "},
		{account: "suspend", want: "403 suspend campaign.extraction "},
		{account: "shadow:suspend", want: "200   suspend"},
		{account: "shadow:slow", want: "200   slow"},
		{account: "", want: "401  credential.missing "},
		{account: "", reason: "credential.expired", want: "401  credential.expired "},
		{account: "", missing: "pass", want: "200   "},
		{account: "", missing: "pass", reason: "credential.expired", want: "401  credential.expired "},
		{account: "", missing: "pass", reason: "account.ambiguous", want: "401  account.ambiguous "},
		{account: "", reason: "unavailable", path: "/open/x", want: "200   "},
		{account: "", reason: "unavailable", path: "/shut/x", want: "503  credential.unavailable "},
		{account: "", path: "/health", want: "200   "},
		{account: "suspend", path: "/health", want: "200   "},
		{account: "suspend", path: "/health/", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/health/../v1/chat", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/trial/../v1/chat", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/trial//x", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/trial/%2e%2e/v1/chat", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/trial/x", want: "200   suspend"},
		{account: "", path: "/trial/x", want: "200   "},
		{account: "suspend", path: "/trial/real/x", want: "403 suspend campaign.extraction "},
		{account: "suspend", path: "/trial/x", broken: true, want: "200   suspend"},
		{account: "nobody", broken: true, want: "200   "},
		{account: "suspend", broken: true, want: "403 suspend campaign.extraction "}, // the table that is there still says so
		{account: "nobody", path: "/shut/x", broken: true, want: "503  verdict.unavailable "},
	} {
		o := Options{Config: config(func(cfg *Config) {
			cfg.Routes = slices.Clone(routes)
			cfg.Account.Missing = c.missing
		}), Spending: c.spending}
		if c.broken {
			o.Verdicts = broken
		}
		d := made(t, o)
		q := question{identity: Identity{Account: c.account, Reason: c.reason, Unavailable: c.reason == "unavailable"}, path: c.path, now: time.Now()}
		a := d.decide(&q)
		if got := fmt.Sprintf("%d %s %s %s", a.Status, a.Measure, a.Reason, a.Shadow); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
		if a.Allow != (a.Status == 200) || (a.Verdicts != "") != (c.broken && a.Status != 401 && c.path != "/health") {
			t.Errorf("%+v: %+v", c, a)
		}
		if a.Status == 403 && (!strings.HasPrefix(a.Appeal, "https://example.com/appeal (reference ref-") || a.Verdict != "v-"+c.account || a.Expires == nil) {
			t.Errorf("%+v: a refusal that lacks something: %+v", c, a)
		}
		if a.Status == 429 && a.After != 5400 {
			t.Errorf("%+v: %+v", c, a)
		}
	}
}

// serve runs a door and returns where it listens.
func serve(t testing.TB, o Options) (overHTTP, overGRPC string) {
	t.Helper()
	if o.Verdicts == nil {
		o.Verdicts = table(t)
	}
	o.Config.GRPC = "127.0.0.1:0"
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, d)
	h, g := d.Addresses()
	return h.String(), g.String()
}

// run has a door serve until the test ends, or the returned function is called.
func run(t testing.TB, d *Door) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

func TestSubrequest(t *testing.T) {
	h, _ := serve(t, Options{Config: config(func(c *Config) { c.Account.Credential = true }), Callers: callers{}})
	for _, c := range []struct {
		header []string
		status int
		has    string // of header and body
	}{
		{[]string{"X-Account", "nobody"}, 204, "X-Palladium-Status:[200]"},
		{[]string{"X-Account", "suspend"}, 403, `X-Palladium-Verdict:[v-suspend]`},
		{[]string{"X-Account", "suspend"}, 403, `"type":"permission_error","code":"campaign.extraction"`},
		{[]string{"X-Account", "step-up"}, 403, `X-Palladium-Verify:[https://example.com/verify]`},
		{[]string{"X-Account", "withhold"}, 204, `X-Palladium-Withhold:[true]`},
		{[]string{"X-Account", "smaller-model"}, 204, `X-Palladium-Model:[small]`},
		{[]string{"X-Account", "budget"}, 204, `X-Palladium-Tokens-Left:[1000]`},
		{[]string{"X-Account", "shadow:suspend"}, 204, `X-Palladium-Shadow:[suspend]`},
		{[]string{"X-Account", "nobody", "X-Account", "suspend"}, 401, "account.ambiguous"},
		{[]string{"X-Account", "nobody,suspend"}, 401, "account.ambiguous"},
		{[]string{"X-Account", strings.Repeat("a", 256)}, 401, "account.invalid"},
		{[]string{"Authorization", "Bearer suspend"}, 403, "v-suspend"},
		{[]string{"Authorization", "Bearer expired"}, 401, "credential.expired"},
		{nil, 401, "Www-Authenticate:[Bearer]"},
	} {
		resp, body := get(t, "http://"+h+"/auth", c.header...)
		if all := fmt.Sprint(resp.Header) + body; resp.StatusCode != c.status || !strings.Contains(all, c.has) {
			t.Errorf("%v: %d %s", c.header, resp.StatusCode, all)
		}
	}
	begun := time.Now()
	resp, _ := get(t, "http://"+h+"/auth", "X-Account", "slow")
	if took := time.Since(begun); took < 150*time.Millisecond || resp.StatusCode != 204 || resp.Header.Get("X-Palladium-Delay") != "" || resp.Header.Get("X-Palladium-Tokens-Per-Second") != "20" {
		t.Errorf("slow: %d after %s, %v", resp.StatusCode, took, resp.Header)
	}
}

// What is not held is told; what is too much to hold is sent away with when to come again.
func TestHold(t *testing.T) {
	h, _ := serve(t, Options{Config: config(func(c *Config) { c.Hold.HTTP = -1 })})
	if resp, _ := get(t, "http://"+h+"/auth", "X-Account", "slow"); resp.StatusCode != 204 || resp.Header.Get("X-Palladium-Delay") != "0.15" {
		t.Errorf("told: %d %v", resp.StatusCode, resp.Header)
	}
	d := made(t, Options{Config: config(func(c *Config) { c.Hold.AtOnce = 1 })})
	d.holding.Store(1)
	a := Answer{Allow: true, Status: 200, wait: 1500 * time.Millisecond}
	if !d.hold(t.Context(), &a, time.Minute) || a.Status != 429 || a.After != 2 {
		t.Errorf("too many: %+v", a)
	}
	d.holding.Store(0)
	a = Answer{Allow: true, Status: 200, wait: 50 * time.Millisecond}
	if !d.hold(t.Context(), &a, 20*time.Millisecond) || a.Delay != 0.03 || !a.Allow {
		t.Errorf("the rest of the delay is not told: %+v", a)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	a.wait = time.Hour
	if d.hold(gone, &a, time.Hour) || d.holding.Load() != 0 {
		t.Error("an asker that left is waited for")
	}
}

func TestQuestion(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("token-of-sixteen-bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, g := serve(t, Options{Callers: callers{}, Config: config(func(c *Config) {
		c.Account.Credential, c.Identity = true, secret.Server{TokenFile: tokens}
	})})
	ask := func(body, token string) (int, string) {
		r, _ := http.NewRequest("POST", "http://"+h+"/v1/check", strings.NewReader(body))
		r.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	const good = "Bearer token-of-sixteen-bytes"
	for _, c := range []struct {
		body, token string
		status      int
		has         string
	}{
		{`{"account":"nobody"}`, good, 200, `{"allow":true,"status":200}`},
		{`{"account":"suspend","path":"/v1/chat/completions"}`, good, 200, `{"allow":false,"status":403,"measure":"suspend","reason":"campaign.extraction"`},
		{`{"account":"slow"}`, good, 200, `"delay_seconds":0.15,"tokens_per_second":20`},
		{`{"headers":{"authorization":"Bearer withhold"}}`, good, 200, `"withhold":true`},
		{`{"headers":{"x-account":"smaller-model"}}`, good, 200, `"model":"small"`},
		{`{}`, good, 200, `"status":401`},
		{`{"account":"` + strings.Repeat("a", 300) + `"}`, good, 200, `account.invalid`},
		{`{`, good, 400, "send"},
		{strings.Repeat(" ", 70_000), good, 400, "send"},
		{`{"account":"nobody"}`, "Bearer wrong", 401, "tokens"},
	} {
		if status, body := ask(c.body, c.token); status != c.status || !strings.Contains(body, c.has) {
			t.Errorf("%.80s: %d %s", c.body, status, body)
		}
	}
	// Who may not ask learns nothing, and the caller behind it is not told that its own credential is wrong.
	if resp, body := get(t, "http://"+h+"/auth", "X-Account", "suspend"); resp.StatusCode != 503 || strings.Contains(body, "suspend") {
		t.Errorf("without a token: %d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, "http://"+h+"/auth", "X-Account", "suspend", "X-Palladium-Token", "token-of-sixteen-bytes"); resp.StatusCode != 403 {
		t.Errorf("with a token: %d", resp.StatusCode)
	}
	conn := dial(t, g)
	for token, want := range map[string]int32{"": 503, "Bearer token-of-sixteen-bytes": 403} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token)
		got, err := authv3.NewAuthorizationClient(conn).Check(ctx, ofAccount("suspend"))
		if err != nil || int32(got.GetDeniedResponse().GetStatus().GetCode()) != want {
			t.Errorf("over gRPC with %q: %v %v", token, got, err)
		}
	}
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func ofAccount(account string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/v1/chat/completions?x=1", Headers: map[string]string{
			":authority": "example.com", "x-account": account, "x-palladium-model": "a caller's own",
		}},
	}}}
}

// Envoy's client gets what Envoy acts on.
func TestEnvoyClient(t *testing.T) {
	_, g := serve(t, Options{Config: config(func(c *Config) { c.Hold.GRPC = time.Second })})
	cl := authv3.NewAuthorizationClient(dial(t, g))
	for account, want := range map[string]string{
		"nobody": "0 x-palladium-status=200", "suspend": "7 403 x-palladium-status=403", "withhold": "0 x-palladium-status=200 x-palladium-measure=withhold",
		"": "16 401 x-palladium-status=401", "nobody,suspend": "16 401 x-palladium-status=401 x-palladium-reason=account.ambiguous",
	} {
		r, err := cl.Check(t.Context(), ofAccount(account))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(r.GetStatus().GetCode())
		headers := r.GetOkResponse().GetHeaders()
		if denied := r.GetDeniedResponse(); denied != nil {
			headers = denied.GetHeaders()
			got += fmt.Sprintf(" %d", denied.GetStatus().GetCode())
			if !json.Valid([]byte(denied.GetBody())) {
				t.Errorf("%s: body %q", account, denied.GetBody())
			}
		} else if ok := r.GetOkResponse(); !slices.Contains(ok.GetHeadersToRemove(), "x-palladium-model") || slices.Contains(ok.GetHeadersToRemove(), "x-palladium-status") {
			t.Errorf("%s: what the caller made up is not removed: %v", account, ok.GetHeadersToRemove())
		}
		for _, h := range headers {
			got += " " + h.GetHeader().GetKey() + "=" + h.GetHeader().GetValue()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, wanted %s", account, got, want)
		}
		if r.GetDynamicMetadata().GetFields()["status"] == nil {
			t.Errorf("%s: no metadata", account)
		}
	}
	raw := ofAccount("")
	raw.Attributes.Request.Http.Headers = nil
	raw.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x-account", RawValue: []byte("nobody")}, {Key: "x-account", Value: "suspend"}}}
	if r, err := cl.Check(t.Context(), raw); err != nil || r.GetDeniedResponse().GetStatus().GetCode() != 401 {
		t.Errorf("two accounts: %v %v", r, err)
	}
	begun := time.Now()
	if r, err := cl.Check(t.Context(), ofAccount("slow")); err != nil || r.GetStatus().GetCode() != 0 || time.Since(begun) < 150*time.Millisecond {
		t.Errorf("slow: %v %v after %s", r, err, time.Since(begun))
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"good":        {nil, ""},
		"no address":  {func(c *Config) { c.HTTP = "" }, "give an address"},
		"reachable":   {func(c *Config) { c.HTTP = ":9191" }, "can be reached from elsewhere"},
		"no account":  {func(c *Config) { c.Account.Header = "" }, "how an account is known"},
		"own header":  {func(c *Config) { c.Account.Header = "x-palladium-account" }, "own"},
		"bad header":  {func(c *Config) { c.Account.Header = "x account" }, "no header's name"},
		"missing":     {func(c *Config) { c.Account.Missing = "x" }, "refuse or pass"},
		"failure":     {func(c *Config) { c.Failure = "x" }, "open or closed"},
		"mode":        {func(c *Config) { c.Routes = []Route{{Path: "/x", Mode: "x"}} }, "enforce or shadow"},
		"path":        {func(c *Config) { c.Routes = []Route{{Path: "x"}} }, "start with /"},
		"star":        {func(c *Config) { c.Routes = []Route{{Path: "/x*"}} }, "trailing /*"},
		"appeal":      {func(c *Config) { c.Appeal = "example.com" }, "appeal must be"},
		"no callers":  {func(c *Config) { c.Account.Credential = true }, "no credentials"},
		"no tokens":   {func(c *Config) { c.Identity.TokenFile = "/nowhere" }, "read the tokens"},
		"not so many": {func(c *Config) { c.Hold.AtOnce = -1 }, "at_once"},
	} {
		_, err := open(Options{Config: config(c.change), Verdicts: table(t)})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	defer l.Close()
	if _, err := Open(Options{Config: config(func(c *Config) { c.GRPC = l.Addr().String() }), Verdicts: table(t)}); err == nil {
		t.Error("an address in use was taken")
	}
}

func FuzzPath(f *testing.F) {
	c := config(func(c *Config) { c.Routes = []Route{{Path: "/health", Skip: true}, {Path: "/open/*", Skip: true}} })
	f.Add("/open/x/../../v1/chat")
	f.Fuzz(func(t *testing.T, path string) {
		if c.route(path).Skip && path != "/health" && (!strings.HasPrefix(path, "/open/") || filepath.Clean(path) != strings.TrimSuffix(path, "/")) {
			t.Errorf("%q is passed by", path)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	d := made(b, Options{Config: config(nil)})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		q := question{identity: Identity{Account: "suspend"}, path: "/v1/chat/completions", now: now}
		if a := d.decide(&q); a.Allow {
			b.Fatal("allowed")
		}
	}
}
