package office_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/palladium-guard/palladium/api"
)

// The document is OpenAPI 3.1, and says of roles, scopes and personal data what the table says.
func TestContract(t *testing.T) {
	r := start(t)
	text := r.client().raw(http.MethodGet, "/openapi.json", nil).body
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Error(e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("  %s: %s", s.FieldPath, s.Reason)
			}
		}
	}
	for id, o := range operations(t, text) {
		row := r.row(id)
		roles := []string{"public"}
		for i, role := range row.Roles {
			if i == 0 {
				roles = nil
			}
			roles = append(roles, string(role))
		}
		slices.Sort(roles)
		slices.Sort(o.Roles)
		if !slices.Equal(roles, o.Roles) || string(row.Scope) != o.Scope || row.Personal != o.Personal {
			t.Errorf("%s: document says %v %q %v, table %v %q %v", id, o.Roles, o.Scope, o.Personal, roles, row.Scope, row.Personal)
		}
		keyed := slices.ContainsFunc(o.Parameters, func(p map[string]any) bool {
			return strings.HasSuffix(fmt.Sprint(p["$ref"]), "/IdempotencyKey")
		})
		if write := o.method != http.MethodGet && !row.Public() && !row.Dry && !row.Personal && !strings.Contains(o.path, "/passkeys/"); write != keyed && !strings.HasPrefix(id, "removePasskey") {
			t.Errorf("%s: Idempotency-Key %v", id, keyed)
		}
	}
}

// described is an operation as the document has it.
type described struct {
	method, path string
	ID           string           `json:"operationId"`
	Roles        []string         `json:"x-roles"`
	Scope        string           `json:"x-scope"`
	Personal     bool             `json:"x-personal"`
	Parameters   []map[string]any `json:"parameters"`
}

func operations(t testing.TB, text []byte) map[string]described {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]described{}
	for path, item := range doc.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			o := described{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			out[o.ID] = o
		}
	}
	return out
}

func (r *rig) row(id string) api.Operation {
	r.t.Helper()
	for _, o := range api.Operations() {
		if o.ID == id {
			return o
		}
	}
	r.t.Fatalf("no operation %s", id)
	return api.Operation{}
}

// Every operation gives an answer that is as the contract says. client.do checks each answer against its schema.
func TestAnswers(t *testing.T) {
	r := start(t)
	r.people()
	analyst, approver, admin, viewer, auditor := r.users[api.Analyst], r.users[api.Approver], r.users[api.Admin], r.users[api.Viewer], r.users[api.Auditor]

	// Sign-in and oneself.
	for _, c := range r.users {
		if c.want("GET", "/session", nil, 200).at("me") == nil {
			t.Error("a signed-in user has no session")
		}
		c.want("GET", "/me", nil, 200)
		c.want("GET", "/me/passkeys", nil, 200)
		c.want("GET", "/tokens", nil, 200)
		c.want("GET", "/health", nil, 200)
		c.want("GET", "/system", nil, 200)
	}
	if a := r.client().want("GET", "/session", nil, 200); a.at("me") != nil || a.at("methods", "setup") != false {
		t.Error("a stranger has a session")
	}

	// Campaigns.
	list := viewer.want("GET", "/campaigns?sort=size&stage=act,review&state=new&q=c-", nil, 200)
	if len(list.items()) != 2 || list.at("total") != 2.0 || list.str("items", 0, "id") != "c-one" || list.str("items", 0, "top_reason") != "come from few networks" {
		t.Errorf("queue: %s", list.body)
	}
	one := viewer.want("GET", "/campaigns/c-one", nil, 200)
	if !strings.HasPrefix(one.str("claim"), "60\u00a0accounts are one operator and are extracting") || one.str("benign", 0, "id") != "l-class" || one.at("evidence", 0, "key") != "who" {
		t.Errorf("campaign: %.900s", one.body)
	}
	viewer.want("GET", "/campaigns/c-one/timeline", nil, 200)
	if l := viewer.want("GET", "/linked", nil, 200); l.at("total") != 1.0 {
		t.Errorf("benign groups: %s", l.body)
	}
	if l := viewer.want("GET", "/linked/l-class", nil, 200); l.at("size") != 1.0 || l.str("why_not_extraction") != "a class" {
		t.Errorf("benign group: %s", l.body)
	}
	viewer.refused("GET", "/linked/c-one", nil, "not_found")
	if p := viewer.want("GET", "/people?limit=3", nil, 200); len(p.items()) != 3 || p.str("items", 0, "name") == "" || strings.Contains(string(p.body), "email") || p.str("next") == "" {
		t.Errorf("people: %s", p.body)
	}
	members := analyst.want("GET", "/campaigns/c-one/accounts?family=template&token=wording%200000&limit=5", nil, 200)
	if len(members.items()) != 5 || members.at("total") != 10.0 || members.str("next") == "" || members.str("items", 0, "organization") != "Acme" {
		t.Errorf("members: %.600s", members.body)
	}
	analyst.want("GET", "/campaigns/c-one/evidence/network", nil, 200)
	analyst.want("GET", "/campaigns/c-one/graph", nil, 200)
	changed := analyst.with("If-Match", one.header.Get("ETag")).want("PATCH", "/campaigns/c-one", map[string]any{"state": "in_progress", "assignee": "me", "labels": []string{"urgent"}, "deadline": time.Now().Add(time.Hour)}, 200)
	if changed.str("assignee") != analyst.name || changed.at("deadline") == nil {
		t.Errorf("change: %.300s", changed.body)
	}
	analyst.with("If-Match", changed.header.Get("ETag")).want("PATCH", "/campaigns/c-one", map[string]any{"deadline": nil}, 200)

	// Decisions.
	analyst.want("POST", "/campaigns/c-one/preview", map[string]any{"measure": "suspend"}, 200)
	done := analyst.want("POST", "/campaigns/c-one/decisions", draft(nil), 201)
	if done.header.Get("Location") != "/api/v1/decisions/"+done.str("id") || done.str("state") != "enforced" || done.at("accounts") != 60.0 {
		t.Errorf("decision: %s", done.body)
	}
	viewer.want("GET", "/decisions/"+done.str("id"), nil, 200)
	if l := viewer.want("GET", "/decisions?campaign=c-one&state=enforced,pending", nil, 200); l.at("total") != 1.0 {
		t.Errorf("decisions: %s", l.body)
	}
	verdicts := analyst.want("GET", "/campaigns/c-one/verdicts?limit=3", nil, 200)
	if len(verdicts.items()) != 3 || verdicts.at("total") != 60.0 || verdicts.str("items", 0, "decision") != done.str("id") {
		t.Errorf("verdicts: %.500s", verdicts.body)
	}
	auditor.want("GET", "/verdicts?account="+account("c-one", 3), nil, 200)
	if a := analyst.want("GET", "/campaigns/c-one/accounts?limit=1", nil, 200); a.str("items", 0, "verdict", "measure") != "budget" {
		t.Errorf("member has no verdict: %s", a.body)
	}
	ref := verdicts.str("items", 0, "appeal")
	hit := verdicts.str("items", 0, "account")
	slow := analyst.want("POST", "/campaigns/c-two/decisions", draft(map[string]any{"measure": "slow", "tokens": nil, "delay_ms": 1500, "tokens_per_second": 2.5, "accounts": []string{account("c-two", 1)}}), 201)
	if slow.at("delay_ms") != 1500.0 || slow.at("accounts") != 1.0 {
		t.Errorf("terms: %s", slow.body)
	}
	analyst.want("POST", "/decisions/"+slow.str("id")+"/undo", map[string]any{"reason": "mistake"}, 200)
	for yes, path := range map[bool]string{true: "/approve", false: "/refuse"} {
		asked := analyst.want("POST", "/campaigns/c-two/decisions", draft(map[string]any{"measure": "suspend", "tokens": nil}), 201)
		if asked.str("state") != "pending" {
			t.Errorf("suspend is %s", asked.str("state"))
		}
		approver.want("GET", "/approvals?state=open", nil, 200)
		approver.want("POST", "/approvals/"+asked.str("approval")+path, map[string]any{"comment": "seen"}, 200)
		after := viewer.want("GET", "/approvals/"+asked.str("approval"), nil, 200)
		if after.at("request") != nil || (after.str("state") == "approved") != yes {
			t.Errorf("approval: %s", after.body)
		}
	}

	// Accounts.
	for path, total := range map[string]float64{"/accounts?limit=7&campaign=c-one": 60, "/accounts?q=acct-c&family=network&token=network%200001&plan=pro&campaign=c-one": 12, "/notices?limit=1": 73, "/approvals?limit=1": 2, "/decisions?limit=1": 4} {
		if l := analyst.want("GET", path, nil, 200); l.at("total") != total {
			t.Errorf("%s: %v in all, not %v", path, l.at("total"), total)
		}
	}
	analyst.want("GET", "/accounts/"+esc(hit), nil, 200)
	odd := analyst.want("GET", "/accounts/"+esc("acct/odd "+hostile), nil, 200)
	if odd.str("account", "id") != "acct/odd "+hostile {
		t.Errorf("account: %s", odd.body)
	}
	analyst.want("GET", "/accounts/"+esc(hit)+"/evidence", nil, 200)
	hunt := analyst.want("POST", "/hunt", map[string]any{"filters": []map[string]any{{"field": "campaign", "op": "is", "value": "c-one"}, {"field": "exchanges", "op": "from", "value": 5},
		{"field": "plan", "op": "in", "value": []string{"pro", "free"}}}, "pivot": "payment", "sort": "output", "limit": 5}, 200)
	if hunt.at("total") != 60.0 || len(hunt.items()) != 5 || hunt.str("pivot", 0, "value") != "pay-0" {
		t.Errorf("hunt: %.800s", hunt.body)
	}

	// Due process.
	opened := analyst.want("POST", "/cases", map[string]any{"campaign": "c-one", "account": hit, "assignee": "me", "note": "first " + hostile}, 201)
	path := "/cases/" + opened.str("case", "id")
	auditor.want("GET", "/cases?campaign=c-one&state=new", nil, 200)
	got := analyst.want("GET", path, nil, 200)
	analyst.with("If-Match", got.header.Get("ETag")).want("PATCH", path, map[string]any{"state": "resolved", "resolution": "true_positive", "due": time.Now()}, 200)
	analyst.want("POST", path+"/notes", map[string]any{"text": "second"}, 201)
	analyst.want("GET", "/notices?account="+hit, nil, 200)
	r.appeal(ref, "I am a teacher "+hostile)
	appeals := approver.want("GET", "/appeals?state=open", nil, 200)
	ap := "/appeals/" + appeals.str("items", 0, "id")
	if f := approver.want("GET", ap, nil, 200); f.at("may_review") != true || f.str("notice", "appeal_ref") != ref || f.str("decision", "id") != done.str("id") {
		t.Errorf("appeal: %.600s", f.body)
	}
	approver.want("POST", ap+"/review", nil, 200)
	if f := approver.want("POST", ap+"/decide", map[string]any{"outcome": "overturned", "reply": "you were right"}, 200); f.str("verdict", "state") != "revoked" || f.at("appeal", "restored") != true {
		t.Errorf("overturned: %.800s", f.body)
	}
	entry := approver.want("POST", "/allow", map[string]any{"kind": "researcher", "subject": "account:" + hit, "owner": "the trust team", "reason": "evaluates us", "expires": time.Now().Add(time.Hour)}, 201)
	auditor.want("GET", "/allow?kind=researcher", nil, 200)
	approver.want("DELETE", "/allow/"+entry.str("id"), nil, 204)
	auditor.want("GET", "/allow?all=true", nil, 200)
	if a := analyst.want("GET", "/accounts/"+esc(hit), nil, 200); len(a.at("allow").([]any)) != 1 || len(a.at("appeals").([]any)) != 1 || len(a.at("notices").([]any)) != 1 {
		t.Errorf("account page: %s", a.body)
	}
	analyst.want("GET", "/campaigns/c-one/events", nil, 200)

	// Policies.
	policy := readPolicy(t)
	analyst.want("POST", "/policies/check", map[string]any{"kind": "judge", "text": "rules: nonsense"}, 200)
	if l := viewer.want("GET", "/policies", nil, 200); len(l.items()) != 1 || l.str("items", 0, "id") != "configured-judge" || l.at("items", 0, "active") != true || l.str("items", 0, "text") != "" {
		t.Errorf("nothing is stored, and in use is: %s", l.body)
	}
	if p := viewer.want("GET", "/policies/configured-judge", nil, 200); p.str("text") != policy {
		t.Errorf("configured policy: %.300s", p.body)
	}
	approver.refused("POST", "/policies/configured-judge/activate", nil, "conflict")
	added := admin.want("POST", "/policies", map[string]any{"kind": "judge", "text": policy}, 201)
	viewer.want("GET", "/policies?kind=judge", nil, 200)
	viewer.want("GET", "/policies/"+added.str("id"), nil, 200)
	if a := approver.want("POST", "/policies/"+added.str("id")+"/activate", nil, 200); a.at("active") != true || viewer.want("GET", "/policies/configured-judge", nil, 200).at("active") != false {
		t.Errorf("policy: %.200s", a.body)
	}

	// Keys, models, ledger, administration.
	made := admin.want("POST", "/credentials", map[string]any{"account": "a-1", "models": []string{"m-*"}, "expires": nil}, 201)
	key := "/credentials/" + made.str("credential", "id")
	admin.want("POST", key+"/rotate", map[string]any{"overlap_seconds": 60}, 200)
	approver.want("POST", key+"/revoke", map[string]any{"reason": "lost"}, 200)
	auditor.want("GET", "/credentials?state=revoked&account=a-1", nil, 200)
	viewer.want("GET", "/artifacts?q=model", nil, 200)
	viewer.want("GET", "/artifacts/m-1", nil, 200)
	viewer.want("GET", "/artifacts/m-1/lineage", nil, 200)
	entries := viewer.want("GET", "/ledger/entries?limit=2", nil, 200)
	index := int(entries.at("items", 0, "index").(float64))
	viewer.want("GET", "/ledger/entries?type=palladium%2Fact%2Fv1&digest="+entries.str("items", 0, "digest")+"&from=2020-01-01T00:00:00Z&to=2040-01-01T00:00:00Z", nil, 200)
	if s := auditor.want("GET", fmt.Sprintf("/ledger/entries/%d", index), nil, 200); s.at("statement", "operation") == nil {
		t.Errorf("statement: %s", s.body)
	}
	viewer.want("GET", fmt.Sprintf("/ledger/proof/%d", index), nil, 200)
	viewer.want("GET", "/ledger/checkpoint", nil, 200)
	if k := viewer.want("GET", "/ledger/key", nil, 200); strings.TrimSpace(string(k.body)) != strings.TrimSpace(r.public) {
		t.Errorf("key: %s", k.body)
	}
	size := int(entries.at("size").(float64))
	if tile := viewer.want("GET", fmt.Sprintf("/ledger/tile/0/000.p/%d", min(size, 255)), nil, 200); len(tile.body) == 0 || len(tile.body)%32 != 0 {
		t.Errorf("tile of %d bytes", len(tile.body))
	}
	admin.want("GET", "/users", nil, 200)
	extra := r.invite("extra", api.Viewer)
	admin.want("PATCH", "/users/"+extra.name, map[string]any{"role": "analyst", "email": "x@example.com"}, 200)
	extra.refused("GET", "/me", nil, "not_signed_in") // a new role means a new sign-in
	admin.want("POST", "/users/"+extra.name+"/invite", nil, 200)
	token := viewer.want("POST", "/tokens", map[string]any{"name": "ci", "scopes": []string{"read"}, "expires": time.Now().Add(time.Hour)}, 201)
	viewer.want("DELETE", "/tokens/"+token.str("token", "id"), nil, 204)
	analyst.want("GET", "/campaigns/c-one/export", nil, 200)
	viewer.want("DELETE", "/session", nil, 204)
	viewer.refused("GET", "/me", nil, "not_signed_in")
	elsewhere := []string{"signIn", "startOIDC", "finishOIDC", "beginPasskey", "finishPasskey", "changePassword", "beginTOTP", "confirmTOTP", "removeTOTP",
		"beginPasskeyRegistration", "finishPasskeyRegistration", "removePasskey", "streamEvents", "getOpenAPI"}
	for _, o := range api.Operations() {
		if !r.reached[o.ID] && !slices.Contains(elsewhere, o.ID) {
			t.Errorf("%s was not asked for", o.ID)
		}
	}
}

// Lists are given page by page, each item once.
func TestPages(t *testing.T) {
	r := start(t)
	r.people()
	for path, want := range map[string]int{"/campaigns/c-one/accounts": 60, "/accounts": 74, "/campaigns?x": 2, "/campaigns/c-one/evidence/template": 3} {
		path, _, _ = strings.Cut(path, "?")
		seen, cursor := map[string]bool{}, ""
		for range 100 {
			a := r.users[api.Analyst].want("GET", path+"?limit=7&cursor="+cursor, nil, 200)
			for i := range a.items() {
				name, _ := a.at("items", i, "id").(string)
				if name == "" {
					name = a.str("items", i, "token")
				}
				if seen[name] {
					t.Errorf("%s: %s came twice", path, name)
				}
				seen[name] = true
			}
			if cursor = a.str("next"); cursor == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d items instead of %d", path, len(seen), want)
		}
		r.users[api.Analyst].refused("GET", path+"?cursor=nonsense", nil, "bad_request")
	}
}

func TestConditions(t *testing.T) {
	r := start(t)
	r.people()
	a := r.users[api.Analyst]
	one := a.want("GET", "/campaigns/c-one", nil, 200)
	tag := one.header.Get("ETag")
	if got := a.with("If-None-Match", tag).want("GET", "/campaigns/c-one", nil, 304); len(got.body) != 0 {
		t.Error("304 has a body")
	}
	a.refused("PATCH", "/campaigns/c-one", map[string]any{"state": "on_hold"}, "if_match_required")
	a.with("If-Match", tag).want("PATCH", "/campaigns/c-one", map[string]any{"state": "on_hold"}, 200)
	a.with("If-Match", tag).refused("PATCH", "/campaigns/c-one", map[string]any{"state": "closed"}, "changed")
	a.with("If-Match", `"nonsense"`).refused("PATCH", "/campaigns/c-one", map[string]any{"state": "closed"}, "changed")

	// The same key gives the same answer, and does the thing once.
	keyed := a.with("Idempotency-Key", "11111111-2222")
	first := keyed.want("POST", "/campaigns/c-one/decisions", draft(map[string]any{"expires": "2060-12-31T00:00:00Z"}), 400) // too far: not kept
	_ = first
	body := draft(nil)
	first = keyed.want("POST", "/campaigns/c-one/decisions", body, 201)
	second := keyed.want("POST", "/campaigns/c-one/decisions", body, 201)
	if !bytes.Equal(first.body, second.body) || second.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Location") != second.header.Get("Location") {
		t.Error("the repetition got another answer")
	}
	if n := len(a.want("GET", "/decisions?campaign=c-one", nil, 200).items()); n != 1 {
		t.Errorf("%d decisions", n)
	}
	keyed.refused("POST", "/campaigns/c-two/decisions", body, "key_reused")
	r.users[api.Approver].with("Idempotency-Key", "11111111-2222").want("POST", "/campaigns/c-one/decisions", body, 201) // another user's key is another key
	admin := r.users[api.Admin].with("Idempotency-Key", "secret-key-1")
	admin.want("POST", "/credentials", map[string]any{"account": "a"}, 201)
	if again := admin.refused("POST", "/credentials", map[string]any{"account": "a"}, "secret_shown"); again.status != 409 {
		t.Errorf("%d", again.status)
	}
}

// What the contract does not allow is refused with the place where it is wrong.
func TestRefusedForms(t *testing.T) {
	r := start(t)
	r.people()
	a := r.users[api.Analyst]
	for _, c := range []struct{ method, path, body, field string }{
		{"GET", "/campaigns?limit=0", "", "limit"}, {"GET", "/campaigns?limit=501", "", "limit"}, {"GET", "/campaigns?limit=x", "", "limit"},
		{"GET", "/campaigns?sort=name", "", "sort"}, {"GET", "/campaigns?state=new,odd", "", "state"}, {"GET", "/campaigns?colour=red", "", "colour"},
		{"GET", "/campaigns?q=a&q=b", "", "q"}, {"GET", "/campaigns/c-one/evidence/star-sign", "", "family"}, {"GET", "/ledger/entries/-1", "", "i"},
		{"POST", "/hunt", `{"filters":[{"field":"password","op":"is","value":"x"}]}`, "/filters/0/field"}, {"POST", "/hunt", `{"limit":"5"}`, "/limit"},
		{"POST", "/hunt", `{"extra":1}`, ""}, {"POST", "/hunt", `[]`, ""}, {"POST", "/hunt", `{"limit":5,"limit":6}`, ""}, {"POST", "/hunt", `{`, ""}, {"POST", "/hunt", "", ""},
		{"POST", "/hunt", "{\"cursor\":\"\xff\"}", ""},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"suspend","reason":"Because I Say","text":"x","expires":"2030-01-01T00:00:00Z"}`, "/reason"},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"ban","reason":"a.b","text":"x","expires":"2030-01-01T00:00:00Z"}`, "/measure"},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"suspend","reason":"a.b","text":"x","expires":"tomorrow"}`, "/expires"},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"suspend","reason":"a.b","text":"x"}`, ""},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"suspend","reason":"a.b","text":"x","expires":"2060-01-01T00:00:00Z"}`, ""},
		{"POST", "/campaigns/c-one/decisions", `{"measure":"observe","reason":"a.b","text":"x","expires":"2020-01-01T00:00:00Z"}`, ""},
		{"POST", "/campaigns/c-one/preview", `{"measure":"slow"}`, ""},
		{"POST", "/campaigns/c-one/preview", `{"measure":"observe","accounts":["acct-c-two-00001"]}`, ""},
		{"POST", "/cases", `{}`, ""}, {"POST", "/cases", `{"campaign":"none"}`, ""}, {"POST", "/cases", `{"campaign":"c-one","assignee":"nobody"}`, ""},
	} {
		if c.path == "/campaigns/c-one/preview" && strings.Contains(c.body, "slow") {
			continue // a preview may leave terms out
		}
		out := a.with("Content-Type", "application/json").refused(c.method, c.path, c.body, "bad_request")
		if got, _ := out.at("errors", 0, "field").(string); c.field != "" && got != c.field {
			t.Errorf("%s %s %s: field %q instead of %q: %s", c.method, c.path, c.body, got, c.field, out.body)
		}
	}
	a.with("Content-Type", "text/plain").refused("POST", "/hunt", `{}`, "unsupported_media")
	a.with("Content-Type", "application/x-www-form-urlencoded").refused("POST", "/hunt", `{}`, "unsupported_media")
	a.refused("GET", "/nowhere", nil, "not_found")
	if out := a.refused("DELETE", "/campaigns/c-one", nil, "method_not_allowed"); out.header.Get("Allow") != "GET, PATCH" {
		t.Errorf("Allow: %s", out.header.Get("Allow"))
	}
	for _, path := range []string{"/campaigns/none", "/accounts/none", "/decisions/none", "/approvals/none", "/cases/none", "/appeals/none", "/policies/none", "/artifacts/none", "/ledger/entries/99999", "/ledger/proof/99999", "/campaigns/none/graph"} {
		a.refused("GET", path, nil, "not_found")
	}
}
