package serve

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/pgtest"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/world/upstream"
)

// fleet is an installation of several processes: gateways, a detector and an API, with a NATS server and PostgreSQL, or a file of
// SQLite where PostgreSQL is not installed, between them.
type fleet struct {
	t        *testing.T
	dir      string
	up       *upstream.Server
	nats     string // URL
	database string // URL
	postgres *pgtest.Server
	keys     []string
	parts    map[string]*part
	text     string
	analyst  *desk
	approver *desk
}

// The accounts of a fleet: the first two have a budget of their own only, the next three are of a campaign under a budget, and
// the last is who is decided about.
const (
	fleetAccounts = 6
	fleetDecided  = 5
)

func newFleet(t *testing.T, more string) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), parts: map[string]*part{}}
	f.up = upstream.New(upstream.Config{Log: 1 << 20, KeepBody: -1})
	up := httptest.NewServer(f.up.Handler())
	t.Cleanup(up.Close)
	f.nats = startNATS(t, filepath.Join(f.dir, "nats")).ClientURL()
	f.database = "sqlite:" + filepath.Join(f.dir, "catalog.db")
	switch pg, err := pgtest.Launch(""); {
	case err == nil:
		t.Cleanup(func() { _ = pg.Stop() })
		f.postgres, f.database = pg, pg.Database(t)
	case !errors.Is(err, pgtest.ErrMissing):
		t.Fatal(err)
	}
	for name, text := range map[string]string{"token": adminKey, "measuring.key": strings.Repeat("k", 32)} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := credential.OpenKeys(filepath.Join(f.dir, "keys.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range fleetAccounts {
		g := credential.Grant{Account: fmt.Sprintf("acct-%d", i)}
		if i == fleetDecided {
			g.Plan = "free"
		}
		_, secret, err := keys.Create(time.Now(), rand.Reader, g, time.Now().Add(24*time.Hour), "")
		if err != nil {
			t.Fatal(err)
		}
		f.keys = append(f.keys, secret.Reveal())
	}
	f.text = strings.NewReplacer("%D", f.dir, "%NATS", f.nats, "%SQL", f.database, "%UP", up.URL, "%API", free(t)).Replace(`
gateway:
  listen: "%CALLERS"
  admin: {listen: "%ADMIN", token_file: "%D/token"}
  upstreams: [{name: models, url: "%UP"}]
  models: [{name: "m*", output: 64, input: 32768}]
credentials: {keys: "%D/keys.jsonl"}
measuring_key: "%D/measuring.key"
stream: {url: "%NATS"}
catalog: {url: "%SQL"}
archive: {off: true}
ledger: {off: true}
api: {listen: "%API"}
enforcement:
  mode: enforce
  approval: [step-up]
` + more)
	return f
}

// begin starts the parts, ready in order, with a name and the role that it begins with.
func (f *fleet) begin(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.parts[name] = newPart(f.t, f.dir, name, strings.TrimRight(name, "0123456789"), f.text)
		f.parts[name].start()
	}
	for _, name := range names {
		f.parts[name].until("ready", f.parts[name].ready)
	}
}

// gateways are the parts of that role.
func (f *fleet) gateways() (out []*part) {
	for _, p := range f.parts {
		if p.role == "gateway" {
			out = append(out, p)
		}
	}
	return out
}

// ask sends a chat request as an account, which asks for 40 tokens of output, and returns the status and the code of a refusal.
func (f *fleet) ask(p *part, account int, path string, stream bool) (int, string) {
	body := fmt.Sprintf(`{"model":"m!tokens=40+pace=1ms+tag=acct-%d","stream":%v,"max_tokens":60,"messages":[{"role":"user","content":"one of %d"}]}`, account, stream, time.Now().UnixNano())
	req, err := http.NewRequest("POST", "http://"+p.callers+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+f.keys[account])
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, resp.Header.Get("X-Palladium-Reason") + string(b[:min(len(b), 200)])
}

const chat = "/v1/chat/completions"

// desk is a person at the operator's API.
type desk struct {
	t    *testing.T
	base string
	http *http.Client
}

func newDesk(t *testing.T, origin string) *desk {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t, origin + "/api/v1", &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (d *desk) post(path string, in any) (status int, out map[string]any) {
	d.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequest("POST", d.base+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

func (d *desk) want(path string, in any, status int) map[string]any {
	d.t.Helper()
	got, out := d.post(path, in)
	if got != status {
		d.t.Fatalf("POST %s: status %d, not %d: %v", path, got, status, out)
	}
	return out
}

// staff makes the people: an analyst and an approver.
func (f *fleet) staff() {
	f.t.Helper()
	_, welcome, _ := strings.Cut(f.parts["api"].said(), "welcome ")
	var origin, token string
	if _, err := fmt.Sscan(welcome, &origin, &token); err != nil {
		f.t.Fatalf("nobody was welcomed: %v", err)
	}
	const password = "correct horse battery"
	root := newDesk(f.t, origin)
	root.want("/session/setup", map[string]any{"token": token, "user": "root", "password": password}, 200)
	for _, role := range []string{"analyst", "approver"} {
		made := root.want("/users", map[string]any{"name": role, "role": role}, 201)
		d := newDesk(f.t, origin)
		d.want("/session/setup", map[string]any{"token": made["invitation"], "password": password}, 200)
		if role == "analyst" {
			f.analyst = d
		} else {
			f.approver = d
		}
	}
}

// campaigns puts campaigns of accounts into the catalog, as a detector does.
func (f *fleet) campaigns(members map[string][]int) {
	f.t.Helper()
	cat, err := catalog.Open(f.t.Context(), catalog.Config{URL: f.database}, slog.New(slog.DiscardHandler), true)
	if err != nil {
		f.t.Fatal(err)
	}
	defer cat.Close()
	now := time.Now().UTC()
	r := &palladium.Report{Schema: palladium.ReportSchema}
	for id, accounts := range members {
		c := palladium.Campaign{ID: id, Stage: palladium.StageAct, First: now, Last: now}
		for _, a := range accounts {
			c.Accounts = append(c.Accounts, palladium.Member{ID: fmt.Sprintf("acct-%d", a), Membership: 1})
		}
		r.Campaigns = append(r.Campaigns, c)
	}
	if _, err := cat.PutReport(f.t.Context(), r); err != nil {
		f.t.Fatal(err)
	}
}

// draft is a decision on accounts of a campaign.
func draft(measure palladium.Measure, holds time.Duration, more map[string]any) map[string]any {
	out := map[string]any{"measure": measure, "reason": "campaign.extraction", "text": "They extract.", "expires": time.Now().Add(holds).UTC()}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// all waits until every gateway answers the account with the status, and returns how long the last one took, since begun.
func (f *fleet) all(begun time.Time, account, status int) time.Duration {
	f.t.Helper()
	var slowest atomic.Int64
	var work sync.WaitGroup
	for _, p := range f.gateways() {
		work.Go(func() {
			for {
				got, says := f.ask(p, account, chat, false)
				took := time.Since(begun)
				if got == status {
					for {
						was := slowest.Load()
						if int64(took) <= was || slowest.CompareAndSwap(was, int64(took)) {
							return
						}
					}
				}
				if took > 20*time.Second {
					f.t.Errorf("after %v %s answers %d, not %d: %s", took, p.file, got, status, says)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	work.Wait()
	return time.Duration(slowest.Load())
}

func quantile(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))].Round(time.Millisecond)
}

// Three gateways with a detector and an API, each a process of its own, over a NATS server: caps hold over all of them although one
// is killed, decisions and their end are in force on all within a second, a verdict that ran out ends by itself, and what gateways
// do without a table that can be relied on is what the route says. FLEET_DECISIONS sets how many decisions are timed.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	f := newFleet(t, `
budget:
  plans:
    default: {per_minute: {requests: unlimited, tokens: unlimited}, account: {day: {requests: unlimited, input: unlimited, output: 4k}, month: {requests: unlimited, input: unlimited, output: unlimited}}}
    free: {per_minute: {requests: unlimited, tokens: unlimited}, account: {day: {requests: unlimited, input: unlimited, output: unlimited}, month: {requests: unlimited, input: unlimited, output: unlimited}}}
`)
	f.begin("detector", "api", "gateway1", "gateway2", "gateway3")
	f.staff()
	f.campaigns(map[string][]int{"c-budget": {2, 3, 4}, "c-decided": {fleetDecided}})
	f.capsHold(4_000, 3_000)
	f.decisionsArrive(number("FLEET_DECISIONS", 8))
	f.verdictEnds()
	f.withoutTable()
}

// capsHold draws on five accounts over all gateways until nothing is left, and kills one gateway meanwhile.
func (f *fleet) capsHold(account, campaign int) {
	t := f.t
	t.Helper()
	day := time.Now().UTC().YearDay()
	begun := time.Now()
	f.analyst.want("/campaigns/c-budget/decisions", draft(palladium.MeasureBudget, time.Hour, map[string]any{"tokens": campaign}), 201)
	time.Sleep(time.Second) // it is in force
	var work sync.WaitGroup
	var served, refused, failed atomic.Int64
	deadline := time.Now().Add(40 * time.Second)
	for _, p := range f.gateways() {
		for a := range fleetDecided {
			for n := range 2 {
				work.Go(func() {
					for met := 0; met < 8 && time.Now().Before(deadline); {
						switch status, _ := f.ask(p, a, chat, n == 0); status {
						case http.StatusOK:
							served.Add(1)
						case http.StatusTooManyRequests:
							refused.Add(1)
							met++
							time.Sleep(200 * time.Millisecond) // others may give back
						default: // killed, or not there yet
							failed.Add(1)
							time.Sleep(50 * time.Millisecond)
						}
					}
				})
			}
		}
	}
	for served.Load() < int64(account/40) {
		time.Sleep(5 * time.Millisecond)
	}
	one := f.parts["gateway1"]
	one.kill()
	time.Sleep(300 * time.Millisecond)
	one.start()
	work.Wait()
	one.until("ready", one.ready)
	drawn := map[string]int{}
	for _, q := range f.up.Seen() {
		_, tag, _ := strings.Cut(q.Model, "tag=")
		drawn[tag] += q.Tokens
		if !q.Time.Before(begun) && (tag == "acct-2" || tag == "acct-3" || tag == "acct-4") {
			drawn["campaign"] += q.Tokens
		}
	}
	if time.Now().UTC().YearDay() != day {
		t.Skip("a day ended meanwhile")
	}
	for what, limit := range map[string]int{"acct-0": account, "acct-1": account, "campaign": campaign} {
		if drawn[what] > limit || drawn[what] < limit*6/10 {
			t.Errorf("%s drew %d of %d", what, drawn[what], limit)
		}
	}
	if failed.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d served, %d refused, %d failed", served.Load(), refused.Load(), failed.Load())
	}
	t.Logf("%d served, %d refused, %d failed over a killed gateway in %v; drawn: %d and %d of %d, together %d of %d", served.Load(), refused.Load(), failed.Load(),
		time.Since(begun).Round(time.Millisecond), drawn["acct-0"], drawn["acct-1"], account, drawn["campaign"], campaign)
}

// decisionsArrive times n decisions, every second one with an approval, and their ends.
func (f *fleet) decisionsArrive(n int) {
	t := f.t
	t.Helper()
	f.all(time.Now(), fleetDecided, http.StatusOK)
	var on, off []time.Duration
	for i := range n {
		measure := palladium.MeasureSuspend
		if i%2 == 1 {
			measure = palladium.MeasureStepUp
		}
		begun := time.Now()
		d := f.analyst.want("/campaigns/c-decided/decisions", draft(measure, time.Hour, nil), 201)
		if measure == palladium.MeasureStepUp {
			if d["state"] != "pending" {
				t.Fatalf("%v", d)
			}
			begun = time.Now()
			f.approver.want(fmt.Sprintf("/approvals/%s/approve", d["approval"]), map[string]any{"comment": "agreed"}, 200)
		}
		on = append(on, f.all(begun, fleetDecided, http.StatusForbidden))
		begun = time.Now()
		f.analyst.want(fmt.Sprintf("/decisions/%s/undo", d["id"]), map[string]any{"reason": "a mistake"}, 200)
		off = append(off, f.all(begun, fleetDecided, http.StatusOK))
	}
	for what, list := range map[string][]time.Duration{"decision to enforcement": on, "revocation to access": off} {
		t.Logf("%s on %d gateways, %d times: median %v, p99 %v, slowest %v", what, len(f.gateways()), n, quantile(list, 0.5), quantile(list, 0.99), quantile(list, 1))
		if p := quantile(list, 0.99); p > time.Second && (n >= 100 || p > 5*time.Second) { // a few times on a busy machine say little
			t.Errorf("%s: p99 %v", what, p)
		}
	}
}

// verdictEnds has a verdict run out, with nobody there who could say so.
func (f *fleet) verdictEnds() {
	t := f.t
	t.Helper()
	holds := 3 * time.Second
	in := draft(palladium.MeasureSuspend, holds, nil)
	begun := time.Now()
	f.analyst.want("/campaigns/c-decided/decisions", in, 201)
	f.all(begun, fleetDecided, http.StatusForbidden)
	for _, name := range []string{"api", "detector"} {
		f.parts[name].kill()
	}
	for _, p := range f.gateways() {
		if status, says := f.ask(p, fleetDecided, chat, false); time.Since(begun) < holds && status != http.StatusForbidden {
			t.Errorf("%s answers %d while the verdict holds: %s", p.file, status, says)
		}
	}
	took := f.all(begun, fleetDecided, http.StatusOK)
	if took < holds-time.Second || took > holds+2*time.Second {
		t.Errorf("a verdict that holds for %v ended after %v", holds, took)
	}
}

// withoutTable looks at gateways that have no table, and at such whose table cannot be read.
func (f *fleet) withoutTable() {
	t := f.t
	t.Helper()
	s, err := stream.Open(t.Context(), stream.Config{URL: f.nats, Name: "bare"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f.text = strings.NewReplacer(`stream: {url: "`+f.nats+`"}`, `stream: {url: "`+f.nats+`", name: bare}`, "  upstreams:", "  routes: [{path: /v1/messages, failure: closed}]\n  upstreams:").Replace(f.text)
	f.parts = map[string]*part{}
	f.begin("gateway8", "gateway9")
	for _, table := range []string{"", "no table at all"} {
		if table != "" {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := s.Put(ctx, live.VerdictTable, 7, []byte(table)); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range f.gateways() {
			if table != "" {
				p.until("the refusal of the table", func() bool { return strings.Contains(p.said(), "a table of verdicts is not taken") })
			}
			open, says := f.ask(p, fleetDecided, chat, false)
			closed, why := f.ask(p, fleetDecided, "/v1/messages", false)
			if open != http.StatusOK || closed != http.StatusServiceUnavailable || !strings.Contains(why, "verdict.unavailable") {
				t.Errorf("with table %q: the route that fails open answers %d (%s), the one that fails closed %d (%s)", table, open, says, closed, why)
			}
		}
	}
}
