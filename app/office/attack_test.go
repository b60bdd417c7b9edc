package office_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/api"
)

// Requests from other sites are refused, whatever cookie they carry.
func TestCrossSite(t *testing.T) {
	r := start(t)
	r.people()
	c := r.users[api.Analyst]
	body := map[string]any{"campaign": "c-one"}
	for name, bad := range map[string]*client{
		"fetch metadata cross-site": c.with("Sec-Fetch-Site", "cross-site"),
		"fetch metadata same-site":  c.with("Sec-Fetch-Site", "same-site"), // a neighbour under the same domain
		"origin of another":         c.with("Sec-Fetch-Site", "").with("Origin", "https://evil.example"),
		"origin null":               c.with("Sec-Fetch-Site", "").with("Origin", "null"),
		"no word of where from":     c.with("Sec-Fetch-Site", ""),
	} {
		if got := bad.raw("POST", "/cases", body); got.status != 403 || got.at("code") != "cross_site" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if got := bad.raw("DELETE", "/session", nil); got.status != 403 {
			t.Errorf("%s: sign-out: %d", name, got.status)
		}
	}
	c.with("Sec-Fetch-Site", "cross-site").refused("GET", "/accounts", nil, "cross_site")
	r.client().with("Sec-Fetch-Site", "cross-site").refused("POST", "/session", map[string]any{"user": "viewer", "password": password}, "cross_site") // sign-in of the attacker's choice
	c.with("Sec-Fetch-Site", "").with("Origin", r.url).want("POST", "/cases", body, 201)
	// A program says nothing of where it comes from.
	c.program(api.ScopeProcess).want("POST", "/cases", body, 201)

	// A name of somebody else's that leads here is not this site.
	req := c.request("GET", "/campaigns", nil)
	req.Host = "evil.example"
	resp, err := c.http.Do(req)
	if err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host: %v %v", resp, err)
	}
}

// What thieves write is data: in JSON no tag stands, and no answer can be taken for a page.
func TestPlantedScript(t *testing.T) {
	r := start(t)
	r.people()
	analyst, approver, admin := r.users[api.Analyst], r.users[api.Approver], r.users[api.Admin]
	plant := hostile
	opened := analyst.want("POST", "/cases", map[string]any{"campaign": "c-one", "note": plant}, 201)
	path := "/cases/" + opened.str("case", "id")
	analyst.want("POST", path+"/notes", map[string]any{"text": plant}, 201)
	one := analyst.want("GET", "/campaigns/c-one", nil, 200)
	analyst.with("If-Match", one.header.Get("ETag")).want("PATCH", "/campaigns/c-one", map[string]any{"state": "resolved", "resolution": "benign", "why": plant, "labels": []string{plant}}, 200)
	done := analyst.want("POST", "/campaigns/c-two/decisions", draft(map[string]any{"text": plant, "approval": true}), 201)
	approver.want("POST", "/approvals/"+done.str("approval")+"/approve", map[string]any{"comment": plant}, 200)
	ref := analyst.want("GET", "/campaigns/c-two/verdicts?limit=1", nil, 200).str("items", 0, "appeal")
	r.appeal(ref, plant)
	third := r.invite("third", api.Approver)
	ap := "/appeals/" + third.want("GET", "/appeals", nil, 200).str("items", 0, "id")
	third.want("POST", ap+"/decide", map[string]any{"outcome": "upheld", "reply": plant}, 200)
	third.want("POST", "/decisions/"+done.str("id")+"/undo", map[string]any{"reason": plant}, 200)
	approver.want("POST", "/allow", map[string]any{"kind": "allow", "subject": "organization:" + plant, "owner": plant, "reason": plant, "expires": time.Now().Add(time.Hour)}, 201)
	admin.want("POST", "/users", map[string]any{"name": plant, "email": plant, "role": "viewer"}, 201)
	admin.want("POST", "/credentials", map[string]any{"account": plant, "organization": plant, "plan": plant, "note": plant, "models": []string{plant}}, 201)
	analyst.want("POST", "/tokens", map[string]any{"name": plant, "scopes": []string{"read"}, "expires": time.Now().Add(time.Hour)}, 201)
	admin.want("POST", "/policies", map[string]any{"kind": "judge", "text": readPolicy(t) + "\n# " + strings.ReplaceAll(plant, "\u202e", "")}, 201)

	auditor := r.users[api.Auditor]
	for _, p := range []string{"/campaigns", "/campaigns/c-one", "/campaigns/c-one/accounts", "/campaigns/c-one/graph", "/campaigns/c-one/evidence/template", "/campaigns/c-one/events",
		"/campaigns/c-one/timeline", "/campaigns/c-two/verdicts", "/accounts", "/accounts/" + esc("acct/odd "+plant), "/accounts?q=" + esc(plant), "/decisions", "/approvals", "/verdicts", path, "/notices",
		"/appeals", ap, "/allow", "/policies", "/credentials", "/artifacts", "/artifacts/m-1", "/users", "/tokens", "/health", "/campaigns?q=" + esc(plant), "/campaigns?sort=" + esc(plant),
		"/campaigns?" + esc(plant) + "=1", "/campaigns/" + esc(plant), "/" + esc(plant), "/campaigns?cursor=" + esc(plant), "/ledger/tile/" + esc(plant)} {
		got := auditor.do("GET", p, nil)
		if strings.Contains(string(got.body), "<") || strings.Contains(string(got.body), ">") {
			t.Errorf("%s holds a tag: %.300s", p, got.body)
		}
		h := got.header
		if kind := h.Get("Content-Type"); !strings.HasPrefix(kind, "application/") || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", p, h)
		}
	}
	if _, body, _ := r.page(http.MethodGet, ref, nil); strings.Contains(body, "<script") || strings.Contains(body, "{{7") == false && strings.Contains(body, "49") {
		t.Errorf("appeal page: %s", body)
	}
	// Nor does a planted name break out of a header.
	got := auditor.raw("GET", "/campaigns/c-one/export?profile=internal", nil)
	if d := got.header.Get("Content-Disposition"); d != `attachment; filename=dossier-c-one-internal.zip` {
		t.Errorf("disposition: %s", d)
	}
}

// What belongs to others is not reached by knowing its id, and no path leads out of what is served.
func TestReach(t *testing.T) {
	r := start(t)
	r.people()
	viewer, analyst := r.users[api.Viewer], r.users[api.Analyst]
	// Verdicts of another campaign, members of another campaign.
	if got := analyst.want("GET", "/campaigns/c-two/accounts?q="+account("c-one", 1), nil, 200); len(got.items()) != 0 {
		t.Errorf("%s", got.body)
	}
	analyst.refused("POST", "/campaigns/c-two/decisions", draft(map[string]any{"accounts": []string{account("c-one", 1)}}), "bad_request")
	analyst.refused("GET", "/campaigns/c-two/graph?around="+esc("a:"+account("c-one", 1)), nil, "not_found")
	for _, path := range []string{"..%2fcheckpoint", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "../checkpoint", "0/../../key", "....//....//etc/passwd", "0%00", "statements", "0"} {
		if got := viewer.raw("GET", "/ledger/tile/"+path, nil); got.status == 200 {
			t.Errorf("tile %s: %s", path, got.body)
		}
	}
	for _, path := range []string{"/../../etc/passwd", "/campaigns/..%2f..%2fusers", "/campaigns/%2e%2e/users", "//evil.example/campaigns"} {
		if got := viewer.raw("GET", path, nil); got.status == 200 {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	// SQL in every text that selects.
	for _, q := range []string{"/campaigns?q=%27%20OR%201=1--", "/campaigns?label=%27%3BDROP%20TABLE%20users--", "/accounts?plan=%27%20OR%20%27%27=%27", "/accounts?token=x%27%29%20OR%201=1--&family=network"} {
		if got := analyst.want("GET", q, nil, 200); len(got.items()) != 0 {
			t.Errorf("%s: %s", q, got.body)
		}
	}
	if got := analyst.want("POST", "/hunt", map[string]any{"filters": []map[string]any{{"field": "organization", "op": "has", "value": "%' OR '1'='1"}}}, 200); got.at("total") != 0.0 {
		t.Errorf("%s", got.body)
	}
	if got := analyst.want("POST", "/hunt", map[string]any{"filters": []map[string]any{{"field": "organization", "op": "has", "value": "%"}}}, 200); got.at("total") == 73.0 {
		t.Errorf("a percent sign stands for everything: %s", got.body)
	}
}

// Bodies that are too large end early.
func TestOversized(t *testing.T) {
	r := start(t)
	r.people()
	c := r.users[api.Analyst]
	big := `{"campaign":"` + strings.Repeat("x", 2<<20) + `"}`
	if got := c.raw("POST", "/cases", big); got.status != 413 || got.at("code") != "too_large" {
		t.Errorf("%d", got.status)
	}
	if got := c.raw("POST", "/campaigns/c-one/decisions", `{"text":"`+strings.Repeat("x", 17<<20)+`"}`); got.status != 413 {
		t.Errorf("%d", got.status)
	}
	if got := c.raw("POST", "/hunt", strings.Repeat(`{"filters":[`, 50_000)); got.status != 400 {
		t.Errorf("deep: %d", got.status)
	}
	if got := c.raw("GET", "/campaigns?limit=5;q=x", nil); got.status != 400 { // would be dropped unseen
		t.Errorf("semicolon: %d", got.status)
	}
	if got := c.raw("GET", "/campaigns?q="+strings.Repeat("x", 5000), nil); got.status != 400 {
		t.Errorf("query: %d", got.status)
	}
	req := c.request("POST", "/cases", "")
	req.Body = io.NopCloser(endless{})
	req.ContentLength = -1
	resp, err := c.http.Do(req)
	if err == nil && resp.StatusCode != 413 {
		t.Errorf("endless: %d", resp.StatusCode)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// One user cannot keep the others from being served.
func TestRate(t *testing.T) {
	r := start(t)
	slowed := false
	c := r.client()
	for range 120 {
		if c.raw("GET", "/session", nil).status == http.StatusTooManyRequests {
			slowed = true
		}
	}
	if !slowed {
		t.Error("a stranger asked 120 times at once")
	}
	r.users[api.Viewer].want("GET", "/campaigns", nil, 200)
}
