//go:build unix

package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/pgtest"
)

// Both engines keep the same contract.
func TestConformance(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { conforms(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { conforms(t, postgres(t).Database(t)) })
}

func postgres(t *testing.T) *pgtest.Server {
	t.Helper()
	s, err := pgtest.Launch("")
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t *testing.T, url string) *catalog.Store {
	t.Helper()
	s, err := catalog.Open(context.Background(), catalog.Config{URL: url}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(hour int) time.Time { return time.Date(2026, 5, 3, hour, 0, 0, 0, time.UTC) }

func conforms(t *testing.T, url string) {
	s := open(t, url)
	for _, c := range []struct {
		name string
		test func(*testing.T, *catalog.Store)
	}{
		{"accounts", accounts}, {"campaigns", campaigns}, {"revisions", revisions}, {"transactions", transactions},
		{"deliveries", deliveries}, {"writers", writers}, {"totals", totals}, {"concerns", concerns}, {"leaders", leaders}, {"releases", releases}, {"forgets", forgets},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
	last, err := s.LastEvent(context.Background())
	check(t, err)
	check(t, s.Close())
	s = open(t, url)
	defer s.Close()
	if again, err := s.LastEvent(context.Background()); err != nil || again != last {
		t.Errorf("after a restart the last event is %d, it was %d: %v", again, last, err)
	}
}

func accounts(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	if _, err := s.GetAccount(ctx, "nobody"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
	a := catalog.Describe(&palladium.Account{ID: "a1", Organization: "Ünï\x00corp", Plan: "free", Verified: []string{"email"}, Created: at(1)})
	check(t, s.PutAccounts(ctx, []catalog.Account{a}))
	a.Plan = "pro"
	check(t, s.PutAccounts(ctx, []catalog.Account{a}))
	if list, err := s.GetAccounts(ctx, []string{"odd\xff", "nul\x00", "", "a1"}); err != nil || len(list) != 1 || list[0].ID != "a1" {
		t.Errorf("an account beside ids that cannot be kept: %+v %v", list, err)
	}
	got, err := s.GetAccount(ctx, "a1")
	check(t, err)
	if got.Plan != "pro" || got.Organization != "Ünï\uFFFDcorp" || len(got.Verified) != 1 || got.Created == nil || !got.Created.Equal(at(1)) {
		t.Errorf("account %+v", got)
	}
}

func campaigns(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	report := func(stage palladium.Stage, members ...palladium.Member) *palladium.Report {
		return &palladium.Report{Window: palladium.Window{From: at(0), To: at(2)}, Campaigns: []palladium.Campaign{
			{ID: "c1", Stage: stage, First: at(0), Last: at(2), Exchanges: 7, Accounts: members},
		}}
	}
	_, err := s.PutReport(ctx, report(palladium.StageReview, palladium.Member{ID: "b", Membership: 0.9}, palladium.Member{ID: "a", Membership: 0.95}))
	check(t, err)
	_, err = s.PutReport(ctx, report(palladium.StageAct, palladium.Member{ID: "b", Membership: 0.9}, palladium.Member{ID: "c", Membership: 0.99}))
	check(t, err)
	c, err := s.GetCampaign(ctx, "c1")
	check(t, err)
	if c.Stage != palladium.StageAct || c.Exchanges != 7 {
		t.Errorf("campaign %+v", c)
	}
	members, _, err := s.ListMembers(ctx, catalog.MemberQuery{Campaign: "c1"})
	check(t, err)
	if len(members) != 2 || members[0].ID != "c" || members[1].ID != "b" {
		t.Errorf("members %+v", members)
	}
}

func revisions(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	first, err := s.PutCase(ctx, catalog.Case{ID: "k1", Campaign: "c1", State: catalog.WorkNew, Opened: at(3)})
	check(t, err)
	changed := first
	changed.Assignee = "eve"
	_, err = s.PutCase(ctx, changed)
	check(t, err)
	first.Assignee = "mallory"
	if _, err := s.PutCase(ctx, first); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("a stale revision: %v", err)
	}
	if got, err := s.GetCase(ctx, "k1"); err != nil || got.Assignee != "eve" {
		t.Errorf("case %+v: %v", got, err)
	}
}

func event(n int) *catalog.Event {
	return &catalog.Event{At: at(4), Actor: "system", Kind: "test", Subject: fmt.Sprintf("test:%d", n), Data: json.RawMessage("{}"), LedgerIndex: -1}
}

func transactions(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	before, err := s.LastEvent(ctx)
	check(t, err)
	refused := errors.New("refused")
	if err := s.Update(ctx, func(tx *catalog.Store) error { return errors.Join(tx.Append(ctx, event(1)), refused) }); !errors.Is(err, refused) {
		t.Errorf("a transaction that fails: %v", err)
	}
	if events, err := s.EventsAfter(ctx, before, 10); err != nil || len(events) != 0 {
		t.Errorf("a transaction that failed left %d events: %v", len(events), err)
	}
}

func deliveries(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	for want := 1; want >= 0; want-- {
		n, err := s.AddDeliveries(ctx, []catalog.Delivery{{ID: fmt.Sprint("d", want), Sink: "hook", Event: "1", Next: at(5)}})
		if err != nil || n != want {
			t.Errorf("%d deliveries added, wanted %d: %v", n, want, err)
		}
	}
	for want := 1; want >= 0; want-- {
		got, err := s.ClaimDeliveries(ctx, "hook", at(6), time.Minute, 10)
		if err != nil || len(got) != want {
			t.Errorf("%d deliveries claimed, wanted %d: %v", len(got), want, err)
		}
	}
}

func writers(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	before, err := s.LastEvent(ctx)
	check(t, err)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for n := range 10 {
				if err := s.Append(ctx, event(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	events, err := s.EventsAfter(ctx, before, 1000)
	check(t, err)
	if len(events) != 80 {
		t.Errorf("%d events of 80", len(events))
	}
	for i := 1; i < len(events); i++ {
		if events[i].Seq <= events[i-1].Seq {
			t.Fatalf("event %d after %d", events[i].Seq, events[i-1].Seq)
		}
	}
}

// PostgreSQL is killed while it is written to: what was acknowledged is there when it is back, and the same Store goes on.
func TestPostgresKilled(t *testing.T) {
	server := postgres(t)
	s := open(t, server.Database(t))
	defer s.Close()
	ctx := context.Background()
	acknowledged := map[string]bool{}
	n := 0
	write := func(until func() bool) {
		for !until() {
			n++
			e := event(n)
			if s.Append(ctx, e) == nil {
				acknowledged[e.Subject] = true
			}
		}
	}
	for range 3 {
		goal := len(acknowledged) + 20
		write(func() bool { return len(acknowledged) >= goal })
		server.Kill()
		lost := n + 2
		write(func() bool { return n >= lost })
		check(t, server.Start())
		goal = len(acknowledged) + 1
		end := time.Now().Add(20 * time.Second)
		write(func() bool { return len(acknowledged) >= goal || time.Now().After(end) })
		if len(acknowledged) < goal {
			t.Fatal("nothing is written after PostgreSQL is back")
		}
	}
	events, err := s.EventsAfter(ctx, 0, 1000)
	check(t, err)
	for _, e := range events {
		delete(acknowledged, e.Subject)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged events are lost", len(acknowledged))
	}
}

// Counts are those of the list, with its conditions, whatever the page.
func totals(t *testing.T, s *catalog.Store) {
	ctx, page := context.Background(), catalog.Page{Limit: 2}
	var verdicts []catalog.Verdict
	for i := range 7 {
		id, campaign := fmt.Sprintf("total-%d", i), fmt.Sprintf("total-c%d", i%2)
		state := []string{catalog.StateEnforced, catalog.StateRevoked}[i%2]
		_, err := s.PutDecision(ctx, catalog.Decision{ID: id, Campaign: campaign, Measure: palladium.MeasureObserve, Reason: "r", By: "u", At: at(1), Expires: at(9), State: state})
		check(t, err)
		verdicts = append(verdicts, catalog.Verdict{State: state, Decision: id,
			Verdict: palladium.Verdict{ID: id, Account: "total-a", Campaign: campaign, Measure: palladium.MeasureObserve, Reason: "r", Issued: at(1), Expires: at(9)}})
		_, err = s.PutApproval(ctx, catalog.Approval{ID: id, Kind: "decision", Subject: "decision:" + id, RequestedBy: "u", At: at(1), Expires: at(9), State: catalog.ApprovalOpen})
		check(t, err)
		_, err = s.PutCase(ctx, catalog.Case{ID: id, Campaign: campaign, State: catalog.WorkNew, Opened: at(1)})
		check(t, err)
		_, err = s.PutAppeal(ctx, catalog.Appeal{ID: id, Ref: id, Account: "total-a", Decision: id, Verdict: id, At: at(1), Due: at(3), State: catalog.AppealOpen})
		check(t, err)
		check(t, s.AddNotices(ctx, []catalog.Notice{{ID: id, Account: "total-a", Decision: id, At: at(1)}}))
		_, err = s.PutAllow(ctx, catalog.Allow{ID: id, Kind: "allow", Subject: "account:total-a", Owner: "u", Reason: "r", Created: at(1), Expires: at(2 + 2*i)})
		check(t, err)
	}
	_, err := s.PutVerdicts(ctx, verdicts)
	check(t, err)
	now := at(3)
	for name, count := range map[string]func() (int64, error){
		"decisions 4": func() (int64, error) {
			return s.CountDecisions(ctx, catalog.DecisionQuery{Page: page, Campaign: "total-c0", State: []string{catalog.StateEnforced}})
		},
		"verdicts 3": func() (int64, error) {
			return s.CountVerdicts(ctx, catalog.VerdictQuery{Page: page, Accounts: []string{"total-a"}, State: []string{catalog.StateRevoked}})
		},
		"verdicts in force 4": func() (int64, error) {
			return s.CountVerdicts(ctx, catalog.VerdictQuery{Page: page, Accounts: []string{"total-a"}, InForce: &now})
		},
		"approvals 7": func() (int64, error) { return s.CountApprovals(ctx, []string{catalog.ApprovalOpen}) },
		"cases 3":     func() (int64, error) { return s.CountCases(ctx, catalog.CaseQuery{Page: page, Campaign: "total-c1"}) },
		"appeals 7":   func() (int64, error) { return s.CountAppeals(ctx, catalog.AppealQuery{Page: page, Account: "total-a"}) },
		"appeals 0": func() (int64, error) {
			return s.CountAppeals(ctx, catalog.AppealQuery{Account: "total-a", State: []string{catalog.AppealUpheld}})
		},
		"notices 1": func() (int64, error) {
			return s.CountNotices(ctx, catalog.NoticeQuery{Page: page, Decision: "total-3"})
		},
		"allow 6": func() (int64, error) {
			return s.CountAllow(ctx, catalog.AllowQuery{Page: page, Subject: []string{"account:total-a"}, InForce: &now})
		},
	} {
		n, err := count()
		check(t, err)
		if got := fmt.Sprintf("%s %d", name[:len(name)-2], n); got != name {
			t.Errorf("%s, not %s", got, name)
		}
	}
}

// An event that is about what belongs to a campaign stands in the campaign's history.
func concerns(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	_, err := s.PutDecision(ctx, catalog.Decision{ID: "of-d", Campaign: "of-c", Measure: palladium.MeasureObserve, Reason: "r", By: "u", At: at(1), Expires: at(9), State: catalog.StateEnforced})
	check(t, err)
	_, err = s.PutApproval(ctx, catalog.Approval{ID: "of-a", Kind: "decision", Subject: "decision:of-d", RequestedBy: "u", At: at(1), Expires: at(9), State: catalog.StateRefused})
	check(t, err)
	_, err = s.PutAppeal(ctx, catalog.Appeal{ID: "of-p", Ref: "of-p", Account: "a", Decision: "of-d", At: at(1), Due: at(3), State: catalog.AppealUpheld})
	check(t, err)
	_, err = s.PutCase(ctx, catalog.Case{ID: "of-k", Campaign: "of-c", State: catalog.WorkNew, Opened: at(1)})
	check(t, err)
	for _, c := range []struct{ kind, subject, ref, campaign string }{
		{"decision.released", "decision:of-d", "", "of-c"}, {"approval.approve_asked", "approval:of-a", "", "of-c"}, {"appeal.taken_up", "appeal:of-p", "account:a", "of-c"},
		{"case.noted", "case:of-k", "", "of-c"}, {"decision.made", "decision:of-d", "campaign:other", "other"}, {"campaign.changed", "campaign:of-e", "", "of-e"},
		{"decision.made", "decision:nowhere", "", ""}, {"read.getDecision", "decision:of-d", "", ""}, {"policy.activated", "policy:of-d", "", ""},
	} {
		e := &catalog.Event{At: at(2), Actor: "u", Kind: c.kind, Subject: c.subject, LedgerIndex: -1}
		if c.ref != "" {
			e.Refs = []string{c.ref}
		}
		check(t, s.Append(ctx, e))
		last, err := s.EventsAfter(ctx, e.Seq-1, 1)
		check(t, err)
		if got := catalog.CampaignOf(&last[0]); got != c.campaign {
			t.Errorf("%s of %s concerns %q, not %q", c.kind, c.subject, got, c.campaign)
		}
	}
	if list, _, err := s.ListEvents(ctx, catalog.EventQuery{Subject: "campaign:of-c"}); err != nil || len(list) != 4 {
		t.Errorf("%d events in the history of the campaign, not 4: %v", len(list), err)
	}
}

// Who led before another writes nothing any more, in whatever it had begun; what is not led is not touched.
func leaders(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	put := func(ctx context.Context, id string) error {
		return s.PutAccounts(ctx, []catalog.Account{{ID: id}})
	}
	first, err := s.Lead(ctx, "detector")
	check(t, err)
	check(t, put(first, "led-1"))
	err = s.Update(first, func(tx *catalog.Store) error { return tx.PutAccounts(first, []catalog.Account{{ID: "led-2"}}) })
	check(t, err)
	other, err := s.Lead(ctx, "another")
	check(t, err)
	check(t, put(first, "led-3"))
	second, err := s.Lead(ctx, "detector")
	check(t, err)
	if err := put(first, "led-4"); !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("%v", err)
	}
	if _, err := s.GetAccount(ctx, "led-4"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	for _, ctx := range []context.Context{second, other, ctx} {
		check(t, put(ctx, "led-5"))
	}
}

// Who was let go is whom a person released, and nobody else: not whom policy withdrew from, nor who waited, nor whom the undoing of
// a person's whole decision leaves to what was before it.
func releases(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	undone := at(6)
	for id, whole := range map[string]*time.Time{"rel-policy": nil, "rel-person": nil, "rel-whole": &undone} {
		_, err := s.PutDecision(ctx, catalog.Decision{ID: id, Measure: palladium.MeasureObserve, Reason: "r", By: "u", At: at(1), Expires: at(9), State: catalog.StateEnforced, UndoneAt: whole})
		check(t, err)
	}
	var list []catalog.Verdict
	want := map[string]time.Time{}
	for i, c := range []struct {
		decision, state, by string
		automated           bool
		hour                int
		free                bool
	}{
		{"rel-policy", catalog.StateRevoked, "ana", true, 6, true},
		{"rel-policy", catalog.StateRefused, "ana", true, 6, true},
		{"rel-policy", catalog.StateRevoked, "policy:7", true, 6, false},
		{"rel-policy", catalog.StateRevoked, "ana", true, 5, false}, // not after
		{"rel-policy", catalog.StateExpired, "", true, 0, false},
		{"rel-policy", catalog.StateEnforced, "", true, 0, false},
		{"rel-person", catalog.StateRevoked, "ana", false, 7, true},
		{"rel-person", catalog.StateRefused, "ana", false, 6, false},
		{"rel-whole", catalog.StateRevoked, "ana", false, 6, false},
		{"rel-whole", catalog.StateRevoked, "ana", false, 7, true}, // alone, at another time
		{"rel-gone", catalog.StateRevoked, "ana", false, 6, true},
	} {
		v := catalog.Verdict{State: c.state, Decision: c.decision, Automated: c.automated, RevokedBy: c.by, Verdict: palladium.Verdict{
			ID: fmt.Sprint("rel-", i), Account: fmt.Sprint("rel-", i), Measure: palladium.MeasureObserve, Reason: "r", Issued: at(1), Expires: at(9)}}
		if c.hour > 0 {
			when := at(c.hour)
			v.RevokedAt = &when
		}
		if list = append(list, v); c.free {
			want[v.Account] = at(c.hour)
		}
	}
	twice := list[0]
	later := at(8)
	twice.ID, twice.RevokedAt, want[twice.Account] = "rel-twice", &later, later
	_, err := s.PutVerdicts(ctx, append(list, twice))
	check(t, err)
	got, err := s.Released(ctx, at(5))
	check(t, err)
	if !maps.Equal(got, want) {
		t.Errorf("let go are %v, wanted %v", got, want)
	}
}

// What ended long ago goes whole, with what hangs on it; what is in force, waits, is worked on or argued about, or ended since, stays
// whole. Its history stays in either case, and what gateways have does not change.
func forgets(t *testing.T, s *catalog.Store) {
	ctx := context.Background()
	before := at(0).AddDate(-1, 0, 0)
	old, later := before.Add(-2*time.Hour), before.Add(time.Hour)
	said := func(n int64) *palladium.Report {
		return &palladium.Report{Campaigns: []palladium.Campaign{{ID: "fg-c", Stage: palladium.StageAct, Exchanges: n, Accounts: []palladium.Member{{ID: "fg-m", Membership: 1}}}}}
	}
	_, err := s.PutReport(ctx, said(1))
	check(t, err)
	put := func(id string, change func(d *catalog.Decision, list []catalog.Verdict)) {
		t.Helper()
		d := catalog.Decision{ID: id, Measure: palladium.MeasureObserve, Reason: "r", By: "u", At: old.Add(-time.Hour), Expires: old, State: catalog.StateExpired, Accounts: 3}
		var list []catalog.Verdict
		for i := range 3 {
			v := catalog.Verdict{State: catalog.StateExpired, Decision: id, Verdict: palladium.Verdict{ID: fmt.Sprint(id, "-v", i), Account: fmt.Sprint(id, "-a", i),
				Measure: palladium.MeasureObserve, Reason: "r", Issued: d.At, Expires: old, Appeal: fmt.Sprint(id, "-ref", i)}}
			list = append(list, v)
			check(t, s.AddNotices(ctx, []catalog.Notice{{ID: v.ID, Account: v.Account, Verdict: v.ID, Decision: id, At: d.At, AppealRef: v.Appeal}}))
		}
		if change != nil {
			change(&d, list)
		}
		_, err := s.PutDecision(ctx, d)
		check(t, err)
		_, err = s.PutVerdicts(ctx, list)
		check(t, err)
		check(t, s.Append(ctx, &catalog.Event{At: d.At, Actor: "u", Kind: "decision.made", Subject: "decision:" + id, LedgerIndex: -1}))
	}
	approval := func(id, state string, decided *time.Time) {
		_, err := s.PutApproval(ctx, catalog.Approval{ID: id, Kind: "decision", Subject: "decision:x", RequestedBy: "u", At: old, Expires: old, State: state, DecidedAt: decided})
		check(t, err)
	}
	appeal := func(id, state string, decided *time.Time) {
		_, err := s.PutAppeal(ctx, catalog.Appeal{ID: id, Ref: id + "-ref0", Account: id + "-a0", Decision: id, Verdict: id + "-v0", At: old, Due: old, State: state, DecidedAt: decided})
		check(t, err)
	}
	goes := map[string]func(*catalog.Decision, []catalog.Verdict){
		"fg-expired": nil,
		"fg-revoked": func(d *catalog.Decision, list []catalog.Verdict) {
			d.State, d.UndoneAt, list[0].State, list[0].RevokedAt = catalog.StateRevoked, &old, catalog.StateRevoked, &old
		},
		"fg-refused": func(d *catalog.Decision, list []catalog.Verdict) {
			d.State, d.Approval = catalog.StateRefused, "fg-refused"
			approval("fg-refused", catalog.StateRefused, &old)
		},
		"fg-upheld":   func(*catalog.Decision, []catalog.Verdict) { appeal("fg-upheld", catalog.AppealUpheld, &old) },
		"fg-evidence": func(d *catalog.Decision, _ []catalog.Verdict) { d.Campaign = "fg-c" },
	}
	stays := map[string]func(*catalog.Decision, []catalog.Verdict){
		"fg-enforced": func(d *catalog.Decision, list []catalog.Verdict) { d.State = catalog.StateEnforced },
		"fg-shadow":   func(d *catalog.Decision, list []catalog.Verdict) { d.State = catalog.StateShadow },
		"fg-pending":  func(d *catalog.Decision, list []catalog.Verdict) { d.State = catalog.StatePending },
		"fg-later":    func(d *catalog.Decision, _ []catalog.Verdict) { d.Expires = later },
		"fg-edge":     func(d *catalog.Decision, _ []catalog.Verdict) { d.Expires = before },
		"fg-holds":    func(_ *catalog.Decision, list []catalog.Verdict) { list[2].State = catalog.StateEnforced },
		"fg-longer":   func(_ *catalog.Decision, list []catalog.Verdict) { list[2].Expires = later },
		"fg-released": func(_ *catalog.Decision, list []catalog.Verdict) { list[2].RevokedAt = &later },
		"fg-undone":   func(d *catalog.Decision, _ []catalog.Verdict) { d.UndoneAt = &later },
		"fg-asked": func(d *catalog.Decision, _ []catalog.Verdict) {
			d.Approval = "fg-asked"
			approval("fg-asked", catalog.ApprovalOpen, nil)
		},
		"fg-appealed":  func(*catalog.Decision, []catalog.Verdict) { appeal("fg-appealed", catalog.AppealOpen, nil) },
		"fg-in-review": func(*catalog.Decision, []catalog.Verdict) { appeal("fg-in-review", catalog.AppealInReview, nil) },
		"fg-decided":   func(*catalog.Decision, []catalog.Verdict) { appeal("fg-decided", catalog.AppealOverturned, &later) },
		"fg-case": func(d *catalog.Decision, _ []catalog.Verdict) {
			d.Campaign = "fg-elsewhere"
			_, err := s.PutCase(ctx, catalog.Case{ID: "fg-case", Campaign: "fg-elsewhere", State: catalog.WorkOnHold, Opened: old})
			check(t, err)
		},
		"fg-account": func(*catalog.Decision, []catalog.Verdict) {
			_, err := s.PutCase(ctx, catalog.Case{ID: "fg-account", Account: "fg-account-a1", State: catalog.WorkNew, Opened: old})
			check(t, err)
		},
	}
	for _, all := range []map[string]func(*catalog.Decision, []catalog.Verdict){goes, stays} {
		for id, change := range all {
			put(id, change)
		}
	}
	_, err = s.PutReport(ctx, said(2)) // what it said of fg-c when it was decided is kept for the decision alone
	check(t, err)
	if c, err := s.EvidenceAt(ctx, "fg-evidence"); err != nil || c.Exchanges != 1 {
		t.Errorf("evidence %+v: %v", c, err)
	}
	version, err := s.VerdictVersion(ctx)
	check(t, err)
	decisions, verdicts, err := s.Forget(ctx, before)
	if err != nil || decisions != int64(len(goes)) || verdicts != 3*decisions {
		t.Errorf("%d decisions and %d verdicts went: %v", decisions, verdicts, err)
	}
	whole := func(id string, want int) {
		t.Helper()
		_, err := s.GetDecision(ctx, id)
		if (err == nil) != (want == 1) {
			t.Errorf("decision %s: %v", id, err)
		}
		n, err := s.CountVerdicts(ctx, catalog.VerdictQuery{Decision: id})
		check(t, err)
		told, err := s.CountNotices(ctx, catalog.NoticeQuery{Decision: id})
		check(t, err)
		if n != int64(3*want) || told != n {
			t.Errorf("%s has %d verdicts and %d notices", id, n, told)
		}
		history, _, err := s.ListEvents(ctx, catalog.EventQuery{Subject: "decision:" + id})
		if check(t, err); len(history) != 2-want || history[len(history)-1].Kind != "decision.made" || want == 0 && history[0].Kind != "decision.forgotten" {
			t.Errorf("history of %s: %+v", id, history)
		}
	}
	for id := range goes {
		whole(id, 0)
	}
	for id := range stays {
		whole(id, 1)
	}
	for what, err := range map[string]error{"approval": second(s.GetApproval(ctx, "fg-refused")), "appeal": second(s.GetAppeal(ctx, "fg-upheld"))} {
		if !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("the %s is still there: %v", what, err)
		}
	}
	if now, err := s.VerdictVersion(ctx); err != nil || now != version {
		t.Errorf("the version of verdicts went from %d to %d: %v", version, now, err)
	}
	if c, err := s.WholeCampaign(ctx, "fg-c"); err != nil || c.Exchanges != 2 {
		t.Errorf("campaign %+v: %v", c, err)
	}

	led, err := s.Lead(ctx, "forgets")
	check(t, err)
	_, err = s.Lead(ctx, "forgets")
	check(t, err)
	put("fg-fenced", nil)
	if n, _, err := s.Forget(led, before); !errors.Is(err, catalog.ErrFenced) || n != 0 {
		t.Errorf("who leads no more deletes %d: %v", n, err)
	}
	whole("fg-fenced", 1)
}

func second[T any](_ T, err error) error { return err }
