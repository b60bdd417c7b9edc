package office_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/assets"
	"github.com/palladium-guard/palladium/api/decide"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/proof/ledger/tlog"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/judge"
)

// password is that of all users of the tests.
const password = "correct horse battery"

// rig is a whole office over a real catalog and a real ledger, with a user for every role.
type rig struct {
	t       testing.TB
	store   *catalog.Store
	board   *board
	log     *book
	recalls *recalls
	office  *office.Office
	server  *httptest.Server
	rules   validator.Validator
	users   map[api.Role]*client
	public  string // key of the ledger
	url     string // scheme and host: a name that leads to the server, or its address

	ops     map[string]described
	reached map[string]bool // operations that were answered as the contract says
}

// book is the ledger as the office writes it.
type book struct {
	inner ledger.Ledger
	mu    sync.Mutex
	said  []ledger.Statement
	down  bool
}

func (b *book) Append(ctx context.Context, kind string, statement []byte) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return -1, fmt.Errorf("disk is full")
	}
	s := ledger.Statement{Type: kind, Body: statement}
	r, err := b.inner.Append(ctx, s)
	if err != nil {
		return -1, err
	}
	b.said = append(b.said, s)
	return int64(r.Index), nil
}

// of returns the statements about an operation.
func (b *book) of(operation string) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.said {
		if strings.Contains(string(s.Body), `"operation":"`+operation+`"`) {
			out = append(out, string(s.Body))
		}
	}
	return out
}

// recalls is where what was shared is taken back.
type recalls struct {
	mu    sync.Mutex
	calls []string
	down  bool
}

func (r *recalls) Recall(_ context.Context, campaign string, accounts []string, _ string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return fmt.Errorf("peer is away")
	}
	r.calls = append(r.calls, campaign+" "+strings.Join(accounts, ","))
	return nil
}

// site is how the site of the tests is doing.
type site struct{}

func (site) Health(context.Context) []assets.Part {
	return []assets.Part{{Name: "catalog", OK: true}, {Name: "stream", Says: "<script>alert(1)</script>"}}
}

func (site) Status(context.Context) assets.Status {
	return assets.Status{Since: time.Now(), Mode: "enforce", Drops: []assets.Drop{{Where: "gateway", Taken: 5}}, Lag: time.Second}
}

// keys keeps keys of callers in the catalog.
type keys struct{ store *catalog.Store }

func (k keys) List(ctx context.Context, q catalog.CredentialQuery) ([]catalog.Credential, string, error) {
	return k.store.ListCredentials(ctx, q)
}

func (k keys) Create(ctx context.Context, now time.Time, c catalog.Credential) (catalog.Credential, string, error) {
	c.ID, c.Created = "k"+strings.ToLower(rand.Text()[:10]), now
	c, err := k.store.PutCredential(ctx, c)
	return c, "plk_" + rand.Text(), err
}

func (k keys) Revoke(ctx context.Context, now time.Time, id, reason string) (catalog.Credential, error) {
	c, err := k.store.GetCredential(ctx, id)
	if err != nil {
		return c, err
	}
	c.Revoked, c.Reason = &now, reason
	return k.store.PutCredential(ctx, c)
}

func (k keys) Rotate(ctx context.Context, now time.Time, id string, _ time.Duration) (catalog.Credential, string, error) {
	c, err := k.store.GetCredential(ctx, id)
	if err != nil {
		return c, "", err
	}
	c.Rotated = &now
	c, err = k.store.PutCredential(ctx, c)
	return c, "plk_" + rand.Text(), err
}

// start opens an office. change may alter its options.
func start(t testing.TB, change ...func(*office.Options)) *rig {
	t.Helper()
	if alone, ok := t.(*testing.T); ok {
		alone.Parallel() // most of the time is waiting for the ledger
	}
	ctx := t.Context()
	store, err := catalog.Open(ctx, catalog.Config{URL: filepath.Join(t.TempDir(), "catalog.db")}, slog.New(slog.DiscardHandler), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &rig{t: t, store: store, users: map[api.Role]*client{}, recalls: &recalls{}, reached: map[string]bool{}}
	dir := t.TempDir()
	files := tlog.Files{Dir: filepath.Join(dir, "log"), Private: filepath.Join(dir, "key"), Public: filepath.Join(dir, "pub"), Seen: tlog.NoMemory}
	if r.public, err = files.Init(ctx, "example.com/log"); err != nil {
		t.Fatal(err)
	}
	writer, err := files.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	r.log = &book{inner: writer}
	r.board = &board{store: store, log: r.log}
	r.server = httptest.NewUnstartedServer(nil)
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	private, err := os.ReadFile(files.Private)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ledger.ParseSigner(string(private))
	if err != nil {
		t.Fatal(err)
	}
	o := office.Options{Catalog: store, Board: r.board, Ledger: r.log, Site: site{}, Signer: signer, Secret: bytes.Repeat([]byte{7}, 32), Origin: "https://example.com",
		Keys: keys{store}, Sharing: r.recalls, Name: "Example", Version: "test", Rate: 10_000, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Policies: map[string]decide.Kind{catalog.PolicyJudge: {Standing: func() string { return readPolicy(t) }, Check: func(text []byte) (string, error) {
			p, err := judge.Load(text)
			if err != nil {
				return "", err
			}
			return p.Revision(), nil
		}}},
		Log:    &assets.Log{Files: os.DirFS(files.Dir), Public: r.public, Trust: trust(t, r.public)},
		Stated: []assets.Stated{{Name: "false_act", Says: "benign groups acted on", Peak: palladium.StageAct, Rate: 0.01}},
	}
	for _, f := range change {
		f(&o)
	}
	if o.Origin == "" {
		o.Origin = r.server.URL
	}
	r.url = o.Origin
	if r.office, err = office.New(o); err != nil {
		t.Fatal(err)
	}
	r.server.Config.Handler = r.office.Handler()
	r.contract()
	r.seedUsers()
	return r
}

func trust(t testing.TB, public string) ledger.Trust {
	t.Helper()
	out, err := ledger.ParseTrust(public, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// contract makes the validator of answers, from the document that is served.
func (r *rig) contract() {
	r.t.Helper()
	c := r.client()
	text := c.raw(http.MethodGet, "/openapi.json", nil).body
	r.ops = operations(r.t, text)
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		r.t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		r.t.Fatal(errs)
	}
	r.rules = v
}

// seedUsers makes a user for each role, the first one by the bootstrap token, the others by invitation.
func (r *rig) seedUsers() {
	r.t.Helper()
	token, err := r.office.Auth.Bootstrap(r.t.Context())
	if err != nil || token == "" {
		r.t.Fatalf("bootstrap: %q, %v", token, err)
	}
	admin := r.client()
	admin.want(http.MethodPost, "/session/setup", map[string]any{"token": token, "user": "root", "password": password}, 200)
	r.users[api.Admin] = admin
	for _, role := range []api.Role{api.Viewer, api.Analyst, api.Approver, api.Auditor} {
		r.users[role] = r.invite(string(role), role)
	}
}

// invite makes one user more.
func (r *rig) invite(name string, role api.Role) *client {
	r.t.Helper()
	made := r.users[api.Admin].want(http.MethodPost, "/users", map[string]any{"name": name, "role": role}, 201)
	c := r.client()
	c.want(http.MethodPost, "/session/setup", map[string]any{"token": made.str("invitation"), "password": password}, 200)
	c.name = made.str("user", "id")
	return c
}

// client is a browser, or a program.
type client struct {
	r      *rig
	name   string
	http   *http.Client
	header http.Header
}

// client returns a browser without a session.
func (r *rig) client() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	h := r.server.Client()
	return &client{r: r, header: http.Header{"Sec-Fetch-Site": {"same-origin"}},
		http: &http.Client{Transport: h.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// with returns a copy of c that sends one header more.
func (c *client) with(name, value string) *client {
	out := *c
	out.header = c.header.Clone()
	if value == "" {
		out.header.Del(name)
	} else {
		out.header.Set(name, value)
	}
	return &out
}

// program returns a program with a token of this user.
func (c *client) program(scopes ...api.Scope) *client {
	c.r.t.Helper()
	made := c.want(http.MethodPost, "/tokens", map[string]any{"name": "test", "scopes": scopes, "expires": time.Now().Add(time.Hour)}, 201)
	out := c.r.client()
	out.header = http.Header{"Authorization": {"Bearer " + made.str("secret")}}
	return out
}

// reply is an answer.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
	json   any
}

// at returns what stands at a path of names and indices in the JSON.
func (a *reply) at(path ...any) any {
	v := a.json
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (a *reply) str(path ...any) string {
	s, ok := a.at(path...).(string)
	if !ok {
		a.t.Helper()
		a.t.Fatalf("no text at %v in %.400s", path, a.body)
	}
	return s
}

func (a *reply) items() []any {
	l, _ := a.at("items").([]any)
	return l
}

// raw sends a request and reads the answer.
func (c *client) raw(method, path string, body any) *reply {
	c.r.t.Helper()
	req := c.request(method, path, body)
	resp, err := c.http.Do(req)
	if err != nil {
		c.r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	out := &reply{t: c.r.t, status: resp.StatusCode, header: resp.Header}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		c.r.t.Fatal(err)
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(out.body, &out.json); err != nil {
			c.r.t.Fatalf("%s %s: %v in %.200s", method, path, err, out.body)
		}
	}
	return out
}

func (c *client) request(method, path string, body any) *http.Request {
	c.r.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			c.r.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	if !strings.HasPrefix(path, "/appeal/") {
		path = "/api/v1" + path
	}
	req, err := http.NewRequestWithContext(c.r.t.Context(), method, c.r.url+path, in)
	if err != nil {
		c.r.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// do sends a request and holds the answer against the contract.
func (c *client) do(method, path string, body any) *reply {
	c.r.t.Helper()
	out := c.raw(method, path, body)
	op := c.r.operation(method, path)
	if op == "" { // no operation, so no form of the answer; that of problems is checked elsewhere
		return out
	}
	if out.status < 400 {
		c.r.reached[op] = true
	}
	resp := &http.Response{StatusCode: out.status, Header: out.header, Body: io.NopCloser(bytes.NewReader(out.body))}
	if out.status == http.StatusNoContent || out.status == http.StatusFound || out.status == http.StatusNotModified {
		return out
	}
	if kind := out.header.Get("Content-Type"); !strings.Contains(kind, "json") {
		return out
	}
	if ok, errs := c.r.rules.ValidateHttpResponse(c.request(method, path, body), resp); !ok {
		for _, e := range errs {
			c.r.t.Errorf("%s %s: %d: %s", method, path, out.status, e.Message+" "+e.Reason)
			for _, s := range e.SchemaValidationErrors {
				c.r.t.Errorf("  %s: %s", s.FieldPath, s.Reason)
			}
		}
		c.r.t.Logf("%.600s", out.body)
	}
	return out
}

// operation returns the operation that a request means: the one whose path has most words of its own.
func (r *rig) operation(method, path string) (best string) {
	path, _, _ = strings.Cut(path, "?")
	most := -1
	for id, o := range r.ops {
		want, got, own := strings.Split(o.path, "/"), strings.Split(path, "/"), 0
		if o.method != method || len(want) != len(got) && !strings.HasSuffix(o.path, "{path}") {
			continue
		}
		for i := range want {
			switch {
			case strings.HasPrefix(want[i], "{"):
			case i >= len(got) || want[i] != got[i]:
				own = -1 << 20
			default:
				own++
			}
		}
		if own > most {
			best, most = id, own
		}
	}
	return best
}

// want sends a request whose answer must have a status.
func (c *client) want(method, path string, body any, status int) *reply {
	c.r.t.Helper()
	out := c.do(method, path, body)
	if out.status != status {
		c.r.t.Fatalf("%s %s: %d instead of %d: %.600s", method, path, out.status, status, out.body)
	}
	return out
}

// refused sends a request that must be refused with a code.
func (c *client) refused(method, path string, body any, code string) *reply {
	c.r.t.Helper()
	out := c.do(method, path, body)
	if got := out.at("code"); got != code {
		c.r.t.Errorf("%s %s: %d, code %v instead of %s: %.300s", method, path, out.status, got, code, out.body)
	}
	return out
}

func esc(s string) string { return url.PathEscape(s) }
