package office_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/store/catalog"
)

// page fetches or sends the appeal page as a browser does that has no session.
func (r *rig) page(method, ref string, form url.Values) (int, string, http.Header) {
	r.t.Helper()
	var in io.Reader
	if form != nil {
		in = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+"/appeal/"+ref, in)
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", r.url)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	h := r.server.Client()
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := h.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// appeal objects to the verdict of a reference.
func (r *rig) appeal(ref, text string) {
	r.t.Helper()
	status, body, header := r.page(http.MethodPost, ref, url.Values{"text": {text}, "contact": {"me@example.com"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/appeal/"+ref {
		r.t.Fatalf("appeal: %d %s", status, body)
	}
}

// From a decision to a notice, an objection, another person's look, and access given back.
func TestDueProcess(t *testing.T) {
	r := start(t)
	r.people()
	analyst, approver := r.users[api.Analyst], r.users[api.Approver]
	done := analyst.want("POST", "/campaigns/c-one/decisions", draft(map[string]any{"text": "Use like this is forbidden. " + hostile}), 201)
	hit := account("c-one", 5)
	notice := analyst.want("GET", "/notices?account="+hit, nil, 200)
	text := notice.str("items", 0, "text")
	for _, part := range []string{"daily limit", "campaign.extraction", "A person decided this", "until", "free of charge", notice.str("items", 0, "appeal_ref")} {
		if !strings.Contains(text, part) {
			t.Errorf("notice lacks %q: %s", part, text)
		}
	}
	ref := notice.str("items", 0, "appeal_ref")

	status, body, header := r.page(http.MethodGet, ref, nil)
	if status != 200 || !strings.Contains(body, "daily limit") || !strings.Contains(body, "<form") || strings.Contains(body, "<script") || strings.Contains(body, hit) {
		t.Errorf("page: %d %s", status, body)
	}
	policy := header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "form-action 'self'") || strings.Contains(policy, "unsafe") || header.Get("Cache-Control") != "no-store" {
		t.Errorf("policy: %s", policy)
	}
	r.appeal(ref, "I teach with this account. "+hostile)
	r.appeal(ref, "Again: two clicks are one appeal.")
	_, body, _ = r.page(http.MethodGet, ref, nil)
	if !strings.Contains(body, "It was received on") || !strings.Contains(body, "I teach") || strings.Contains(body, "<script") || strings.Contains(body, "two clicks") {
		t.Errorf("page after: %s", body)
	}
	list := approver.want("GET", "/appeals", nil, 200)
	if len(list.items()) != 1 || list.str("items", 0, "contact") != "me@example.com" || list.at("items", 0, "overdue") != false {
		t.Fatalf("appeals: %s", list.body)
	}
	ap := "/appeals/" + list.str("items", 0, "id")

	// What was shared cannot be recalled at first: access is given back at once, the rest when the peer is there.
	r.recalls.down = true
	overturn := map[string]any{"outcome": "overturned", "reply": "You were right, we are sorry."}
	approver.refused("POST", ap+"/decide", overturn, "unavailable")
	if v := analyst.want("GET", "/verdicts?account="+hit, nil, 200); v.str("items", 0, "state") != "revoked" {
		t.Errorf("access was not given back at once: %s", v.body)
	}
	r.recalls.down = false
	approver.want("POST", ap+"/decide", overturn, 200)
	if len(r.recalls.calls) != 1 || r.recalls.calls[0] != "c-one "+hit {
		t.Errorf("recalled: %v", r.recalls.calls)
	}
	labels, _, err := r.store.ListLabels(t.Context(), "c-one", catalog.Page{})
	if err != nil || len(labels) != 1 || !labels[0].Benign || len(labels[0].Accounts) != 1 || labels[0].Accounts[0] != hit {
		t.Errorf("labels: %+v %v", labels, err)
	}
	_, body, _ = r.page(http.MethodGet, ref, nil)
	if !strings.Contains(body, "you were right") || !strings.Contains(body, "You were right, we are sorry.") || strings.Contains(body, "<form") {
		t.Errorf("page after decision: %s", body)
	}
	// The others of the decision stay hit, until the whole of it falls.
	if v := analyst.want("GET", "/decisions/"+done.str("id"), nil, 200); v.str("state") != "enforced" {
		t.Errorf("decision: %s", v.body)
	}
	second := analyst.want("GET", "/notices?account="+account("c-one", 6), nil, 200).str("items", 0, "appeal_ref")
	r.appeal(second, "me too")
	ap = "/appeals/" + approver.want("GET", "/appeals?state=open", nil, 200).str("items", 0, "id")
	approver.want("POST", ap+"/decide", map[string]any{"outcome": "overturned", "scope": "decision", "reply": "all of it"}, 200)
	if v := analyst.want("GET", "/campaigns/c-one/verdicts?state=enforced", nil, 200); len(v.items()) != 0 {
		t.Errorf("verdicts that stand: %s", v.body)
	}
	if s := analyst.want("GET", "/system", nil, 200); s.at("process", "overturned") != 2.0 || s.at("process", "open") != 0.0 {
		t.Errorf("system: %s", s.body)
	}
	if len(r.log.of("appeal.made")) < 2 || strings.Contains(strings.Join(r.log.of("appeal.made"), ""), "teach") {
		t.Errorf("ledger: %v", r.log.of("appeal.made"))
	}
}

// The clock: what is overdue stands first.
func TestOverdue(t *testing.T) {
	r := start(t, func(o *office.Options) { o.Review = time.Millisecond })
	r.people()
	r.users[api.Analyst].want("POST", "/campaigns/c-two/decisions", draft(nil), 201)
	notices := r.users[api.Analyst].want("GET", "/notices?limit=3", nil, 200)
	for i := range 3 {
		r.appeal(notices.str("items", i, "appeal_ref"), "no")
	}
	time.Sleep(5 * time.Millisecond)
	list := r.users[api.Approver].want("GET", "/appeals", nil, 200)
	if list.at("overdue") != 3.0 || list.at("items", 0, "overdue") != true || list.str("items", 0, "due") > list.str("items", 1, "due") {
		t.Errorf("%s", list.body)
	}
}

func TestAppealPageRefuses(t *testing.T) {
	r := start(t)
	r.people()
	r.users[api.Analyst].want("POST", "/campaigns/c-two/decisions", draft(nil), 201)
	ref := r.users[api.Analyst].want("GET", "/notices?limit=1", nil, 200).str("items", 0, "appeal_ref")
	// Another site cannot send the form.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/appeal/"+ref, strings.NewReader("text=hello"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://evil.example")
	if resp, err := r.server.Client().Do(req); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%v %v", resp, err)
	}
	if status, _, _ := r.page(http.MethodPost, ref, url.Values{"text": {strings.Repeat("x", 200_000)}}); status != http.StatusBadRequest {
		t.Errorf("oversized: %d", status)
	}
	if status, _, _ := r.page(http.MethodPost, ref, url.Values{"text": {"  "}}); status != http.StatusBadRequest {
		t.Errorf("empty: %d", status)
	}
	if status, _, _ := r.page(http.MethodDelete, ref, nil); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", status)
	}
	r.appeal(ref, "no")
	if status, _, _ := r.page(http.MethodPost, ref, url.Values{"action": {"withdraw"}}); status != http.StatusSeeOther {
		t.Errorf("withdraw: %d", status)
	}
	// Guessing ends soon, and what is there answers no more than what is not.
	slowed := 0
	for _, guess := range []string{"AP-AAAAA-AAAAA-AAAAA-AAAAA-AAAAAA", "%2e%2e%2fetc%2fpasswd", "x", strings.Repeat("A", 300), "AP-BBBBB-AAAAA-AAAAA-AAAAA-AAAAAA", "1234567890", "1234567891",
		"1234567892", "1234567893", "1234567894", "1234567895", "1234567896", "1234567897", "1234567898"} {
		switch status, body, _ := r.page(http.MethodGet, guess, nil); {
		case status == http.StatusTooManyRequests:
			slowed++
		case status != http.StatusNotFound || guess != "x" && len(guess) > 4 && strings.Contains(body, guess):
			t.Errorf("%s: %d %s", guess, status, body)
		}
	}
	if slowed == 0 {
		t.Error("guessing was not slowed down")
	}
}
