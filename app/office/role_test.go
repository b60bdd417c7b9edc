package office_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palladium-guard/palladium/api"
)

func readPolicy(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("../../rules/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// where fills the parameters of a path.
func where(path string) string {
	return strings.NewReplacer("{id}", "none", "{family}", "network", "{i}", "0", "{path}", "0/000").Replace(path)
}

// For every role and every operation: a role that is not in the table is refused, and one that is gets further than the
// guard. So is a stranger, and a token for each scope.
func TestRolesAndEndpoints(t *testing.T) {
	r := start(t)
	r.people()
	doc := operations(t, r.client().raw(http.MethodGet, "/openapi.json", nil).body)
	type caller struct {
		name  string
		c     *client
		role  api.Role
		token bool
		scope api.Scope
	}
	callers := []caller{{name: "stranger", c: r.client()}}
	for _, role := range api.Roles() {
		callers = append(callers, caller{name: string(role), c: r.users[role], role: role})
		for _, s := range api.Scopes() {
			callers = append(callers, caller{fmt.Sprintf("%s with a token for %s", role, s), r.users[role].program(s), role, true, s})
		}
	}
	pairs, refused := 0, 0
	if len(doc) != len(api.Operations()) {
		t.Errorf("%d operations in the document, %d in the table", len(doc), len(api.Operations()))
	}
	for _, row := range api.Operations() {
		d := doc[row.ID]
		if row.ID == "signOut" { // ends the sessions that the rest of the test needs
			continue
		}
		for _, who := range callers {
			may := row.Public() || who.role != "" && row.Allows(who.role)
			if who.token && !row.Public() && row.Scope != who.scope {
				may = false
			}
			pairs++
			if row.ID == "streamEvents" && may {
				continue // does not end: see TestLive
			}
			var body any
			if d.method != http.MethodGet {
				body = map[string]any{}
			}
			got := who.c.raw(d.method, where(d.path), body)
			code, _ := got.at("code").(string)
			switch {
			case !may && who.role == "" && (got.status != 401 || code != "not_signed_in"):
				t.Errorf("%s by %s: %d %s", row.ID, who.name, got.status, code)
			case !may && who.role != "" && (got.status != 403 || code != "forbidden"):
				t.Errorf("%s by %s: %d %s", row.ID, who.name, got.status, code)
			case may && (code == "forbidden" || code == "not_signed_in") && row.ID != "exportCampaign":
				t.Errorf("%s by %s is refused: %s", row.ID, who.name, got.body)
			}
			if !may {
				refused++
			}
		}
	}
	t.Logf("%d pairs, %d of them forbidden and refused", pairs, refused)
}

// Nobody is the second person to themselves, whatever their role.
func TestSecondPerson(t *testing.T) {
	r := start(t)
	r.people()
	approver := r.users[api.Approver]
	other := r.invite("other", api.Approver)
	asked := approver.want("POST", "/campaigns/c-one/decisions", draft(map[string]any{"measure": "suspend", "tokens": nil}), 201)
	approver.refused("POST", "/approvals/"+asked.str("approval")+"/approve", map[string]any{}, "same_person")
	other.want("POST", "/approvals/"+asked.str("approval")+"/approve", map[string]any{}, 200)
	approver.refused("POST", "/approvals/"+asked.str("approval")+"/refuse", map[string]any{}, "conflict")

	added := approver.want("POST", "/policies", map[string]any{"kind": "judge", "text": readPolicy(t)}, 201)
	approver.refused("POST", "/policies/"+added.str("id")+"/activate", nil, "same_person")
	other.want("POST", "/policies/"+added.str("id")+"/activate", nil, 200)

	// Who decided, and who agreed, do not judge the appeal.
	ref := approver.want("GET", "/campaigns/c-one/verdicts?limit=1", nil, 200).str("items", 0, "appeal")
	r.appeal(ref, "I did nothing")
	ap := "/appeals/" + approver.want("GET", "/appeals", nil, 200).str("items", 0, "id")
	for _, c := range []*client{approver, other} {
		c.refused("POST", ap+"/review", nil, "same_person")
		c.refused("POST", ap+"/decide", map[string]any{"outcome": "upheld", "reply": "no"}, "same_person")
		if c.want("GET", ap, nil, 200).at("may_review") != false {
			t.Error("the decider is told that they may review")
		}
	}
	third := r.invite("third", api.Approver)
	third.want("POST", ap+"/decide", map[string]any{"outcome": "upheld", "reply": "we looked again"}, 200)
	third.refused("POST", ap+"/decide", map[string]any{"outcome": "overturned", "reply": "after all"}, "conflict")

	// An analyst undoes their own decisions and those of policies.
	mine := r.users[api.Analyst].want("POST", "/campaigns/c-two/decisions", draft(nil), 201).str("id")
	r.invite("second analyst", api.Analyst).refused("POST", "/decisions/"+mine+"/undo", map[string]any{"reason": "x"}, "forbidden")
	r.users[api.Analyst].want("POST", "/decisions/"+mine+"/undo", map[string]any{"reason": "x"}, 200)
	r.users[api.Analyst].refused("POST", "/decisions/"+mine+"/undo", map[string]any{"reason": "x"}, "conflict")

	r.users[api.Analyst].refused("GET", "/campaigns/c-one/export?profile=agency", nil, "forbidden")
}

// Every write and every reading of accounts is in the ledger before anything is done or shown, and nothing is when the
// ledger takes nothing.
func TestLedgerFirst(t *testing.T) {
	r := start(t)
	r.people()
	analyst := r.users[api.Analyst]
	for path, op := range map[string]string{"/campaigns/c-one/accounts": "listCampaignAccounts", "/accounts": "listAccounts", "/accounts/" + account("c-one", 1): "getAccount",
		"/campaigns/c-one/graph": "getCampaignGraph", "/campaigns/c-one/export": "exportCampaign", "/verdicts": "listVerdicts", "/appeals": "listAppeals", "/cases": "listCases"} {
		for range 3 { // again within a minute is one entry
			analyst.want("GET", path, nil, 200)
		}
		if said := r.log.of(op); len(said) != 1 || !strings.Contains(said[0], analyst.name) {
			t.Errorf("%s: %d statements: %v", op, len(said), said)
		}
	}
	analyst.want("POST", "/hunt", map[string]any{"filters": []map[string]any{{"field": "plan", "op": "is", "value": "pro"}}}, 200)
	analyst.want("POST", "/hunt", map[string]any{}, 200)
	if said := r.log.of("hunt"); len(said) != 2 || !strings.Contains(said[0]+said[1], `"value":"pro"`) {
		t.Errorf("hunts: %v", said)
	}
	analyst.want("POST", "/campaigns/c-one/decisions", draft(nil), 201)
	if said := r.log.of("decide"); len(said) != 1 || !strings.Contains(said[0], `"measure":"budget"`) {
		t.Errorf("decision: %v", said)
	}
	// Free text about people, and secrets, stay out.
	analyst.want("POST", "/cases", map[string]any{"campaign": "c-one", "note": "is a certain Miss Doe"}, 201)
	if said := r.log.of("openCase"); len(said) != 1 || strings.Contains(said[0], "Doe") || !strings.Contains(said[0], "body_sha256") {
		t.Errorf("case: %v", said)
	}
	analyst.want("POST", "/me/password", map[string]any{"current": password, "new": "another horse battery"}, 204)
	if said := r.log.of("changePassword"); len(said) != 1 || strings.Contains(said[0], "horse") || strings.Contains(said[0], "body") {
		t.Errorf("password: %v", said)
	}
	if len(r.log.of("setUp")) != 5 {
		t.Errorf("%d sign-ins in the ledger", len(r.log.of("setUp")))
	}

	r.log.down = true
	events, _ := r.store.LastEvent(t.Context())
	analyst.refused("GET", "/accounts/"+account("c-one", 7), nil, "unavailable")
	analyst.refused("POST", "/campaigns/c-two/decisions", draft(nil), "unavailable")
	analyst.refused("POST", "/cases", map[string]any{"campaign": "c-two"}, "unavailable")
	r.client().refused("POST", "/session", map[string]any{"user": "viewer", "password": password}, "unavailable")
	if now, _ := r.store.LastEvent(t.Context()); now != events {
		t.Errorf("%d events without a ledger", now-events)
	}
	r.users[api.Viewer].want("GET", "/campaigns", nil, 200) // shows no account
}

// A stream tells what changes, from where it was left, and not what it says of accounts.
func TestLive(t *testing.T) {
	r := start(t)
	r.people()
	last, err := r.store.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listen := func(c *client, query string) (next func() string, end func()) {
		req := c.request("GET", "/events"+query, nil)
		resp, err := c.http.Do(req)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v %v", resp, err)
		}
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			buf := make([]byte, 64<<10)
			for {
				n, err := resp.Body.Read(buf)
				if err != nil {
					return
				}
				for _, part := range strings.Split(string(buf[:n]), "\n\n") {
					if strings.HasPrefix(part, "id: ") {
						lines <- part
					}
				}
			}
		}()
		return func() string {
			select {
			case s := <-lines:
				return s
			case <-time.After(time.Minute):
				t.Fatal("nothing came")
				return ""
			}
		}, func() { _ = resp.Body.Close() }
	}
	next, end := listen(r.users[api.Viewer], "")
	defer end()
	entry := r.users[api.Approver].want("POST", "/allow", map[string]any{"kind": "allow", "subject": "account:" + account("c-one", 1), "owner": "o", "reason": "secret reason", "expires": time.Now().Add(time.Hour)}, 201)
	got := next()
	if !strings.Contains(got, "event: allow.added") || !strings.Contains(got, entry.str("id")) || strings.Contains(got, "acct-") || strings.Contains(got, "secret reason") {
		t.Errorf("%s", got)
	}
	// Reading is not told.
	r.users[api.Analyst].want("GET", "/accounts", nil, 200)
	r.users[api.Analyst].want("POST", "/cases", map[string]any{"campaign": "c-one"}, 201)
	if got = next(); !strings.Contains(got, "event: case.opened") {
		t.Errorf("%s", got)
	}
	tellsOfCampaigns(r, next)
	// Who comes again misses nothing.
	again, end2 := listen(r.users[api.Analyst].with("Last-Event-ID", fmt.Sprint(last)), "")
	defer end2()
	if got = again(); !strings.Contains(got, "event: allow.added") || !strings.Contains(got, "acct-") {
		t.Errorf("%s", got)
	}
	for range 8 {
		_, end := listen(r.users[api.Auditor], "?after=0")
		defer end()
	}
	r.users[api.Auditor].refused("GET", "/events", nil, "too_many")
}

// tellsOfCampaigns goes through what people do about a campaign: each event names it, to those as well who see no account.
func tellsOfCampaigns(r *rig, next func() string) {
	t, analyst, approver := r.t, r.users[api.Analyst], r.users[api.Approver]
	t.Helper()
	until := func(kind, campaign string) {
		t.Helper()
		for {
			got := next()
			if !strings.Contains(got, `"campaign":"`+campaign+`"`) || strings.Contains(got, "acct-") {
				t.Errorf("not of %s alone: %s", campaign, got)
			}
			if strings.Contains(got, "event: "+kind+"\n") {
				return
			}
		}
	}
	one := account("c-one", 3)
	made := analyst.want("POST", "/campaigns/c-one/decisions", draft(map[string]any{"accounts": []string{one, account("c-one", 4)}}), 201)
	until("decision.asked", "c-one")
	r.appeal(analyst.want("GET", "/notices?account="+one, nil, 200).str("items", 0, "appeal_ref"), "I am one person.")
	until("appeal.made", "c-one")
	appeal := approver.want("GET", "/appeals?account="+one, nil, 200).str("items", 0, "id")
	approver.want("POST", "/appeals/"+appeal+"/review", map[string]any{}, 200)
	until("appeal.taken_up", "c-one")
	approver.want("POST", "/appeals/"+appeal+"/decide", map[string]any{"outcome": "overturned", "scope": "account", "reply": "It was a mistake."}, 200)
	until("appeal.decided", "c-one")
	asked := analyst.want("POST", "/campaigns/c-two/decisions", draft(map[string]any{"measure": "suspend", "tokens": nil}), 201)
	until("decision.asked", "c-two")
	approver.want("POST", "/approvals/"+asked.str("approval")+"/approve", map[string]any{"comment": "seen"}, 200)
	until("approval.approve_asked", "c-two")
	analyst.want("POST", "/decisions/"+made.str("id")+"/undo", map[string]any{"reason": "mistake"}, 200)
	until("decision.undo_asked", "c-one")
	c := analyst.want("POST", "/cases", map[string]any{"campaign": "c-two"}, 201)
	until("case.opened", "c-two")
	analyst.want("POST", "/cases/"+c.str("case", "id")+"/notes", map[string]any{"text": "asked"}, 201)
	until("case.noted", "c-two")
	if h := analyst.want("GET", "/campaigns/c-one/events?limit=500", nil, 200); !strings.Contains(string(h.body), "appeal.taken_up") {
		t.Errorf("the history of the campaign lacks the appeal: %s", h.body)
	}
}

// What the API does is counted, without a word of who asks.
func TestMetrics(t *testing.T) {
	r := start(t)
	r.people()
	r.users[api.Analyst].want("GET", "/campaigns/c-one", nil, 200)
	r.users[api.Viewer].refused("GET", "/accounts", nil, "forbidden")
	r.log.down = true
	r.users[api.Analyst].refused("GET", "/accounts", nil, "unavailable")
	reg := prometheus.NewRegistry()
	for _, c := range r.office.Collectors() {
		if err := reg.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{`palladium_api_requests_total{operation="getCampaign",status="200"} 1`, `palladium_api_requests_total{operation="listAccounts",status="403"} 1`,
		`palladium_api_requests_total{operation="listAccounts",status="503"} 1`, `palladium_api_request_seconds_count{operation="getCampaign"} 1`, "palladium_api_ledger_refusals_total 1", "palladium_api_streams 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "c-one") || strings.Contains(text, r.users[api.Analyst].name) {
		t.Error("a metric names somebody")
	}
}
