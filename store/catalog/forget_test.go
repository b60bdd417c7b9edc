//go:build unix

package catalog_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// ended puts decisions that ended at a time into a catalog, each with verdicts, their notices and what the detector said at the time.
func ended(t testing.TB, s *catalog.Store, decisions, accounts int, at time.Time) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	for i := range decisions {
		id := fmt.Sprintf("d_%020d", i)
		fail(s.Update(ctx, func(tx *catalog.Store) error {
			_, err := tx.PutReport(ctx, &palladium.Report{Campaigns: []palladium.Campaign{{ID: "c", Stage: palladium.StageAct, Exchanges: int64(i), Accounts: []palladium.Member{{ID: "m", Membership: 1}}}}})
			return err
		}))
		fail(s.Update(ctx, func(tx *catalog.Store) error {
			if _, err := tx.PutDecision(ctx, catalog.Decision{ID: id, Campaign: "c", Measure: palladium.MeasureSlow, Reason: "campaign.extraction", Text: "They extract.", By: "policy:1a2b3c4d5e6f",
				Automated: true, Accounts: accounts, At: at.Add(-24 * time.Hour), Expires: at.Add(time.Duration(i) * time.Millisecond), State: catalog.StateExpired}); err != nil {
				return err
			}
			var verdicts []catalog.Verdict
			var notices []catalog.Notice
			for j := range accounts {
				v := catalog.Verdict{State: catalog.StateExpired, Decision: id, DecidedBy: "policy:1a2b3c4d5e6f", Automated: true, PolicyRevision: "1a2b3c4d5e6f", Explanation: "They extract.",
					LedgerIndex: -1, Verdict: palladium.Verdict{ID: fmt.Sprintf("v_%010d%010d", i, j), Account: fmt.Sprintf("acct-%06d", j), Campaign: "c", Stage: palladium.StageAct,
						Measure: palladium.MeasureSlow, Reason: "campaign.extraction", Issued: at.Add(-24 * time.Hour), Expires: at, Appeal: fmt.Sprintf("ap-%08d-%08d", i, j), Delay: time.Second}}
				verdicts = append(verdicts, v)
				notices = append(notices, catalog.Notice{ID: fmt.Sprintf("n_%010d%010d", i, j), Account: v.Account, Verdict: v.ID, Decision: id, At: v.Issued, Reason: v.Reason, Measure: v.Measure,
					Automated: true, Text: v.Explanation, Expires: v.Expires, AppealRef: v.Appeal})
			}
			if _, err := tx.PutVerdicts(ctx, verdicts); err != nil {
				return err
			}
			return tx.AddNotices(ctx, notices)
		}))
	}
}

// TestForgettingChild is the process that TestForgettingKilled kills.
func TestForgettingChild(t *testing.T) {
	db := os.Getenv("CATALOG_TEST_FORGETS")
	if db == "" {
		t.Skip("runs as a process of TestForgettingKilled only")
	}
	s := open(t, "sqlite:"+db)
	fmt.Fprintln(os.Stderr, "begun")
	_, _, err := s.Forget(t.Context(), time.Now())
	check(t, err)
	check(t, s.Close())
}

// A process that is killed while it deletes what ended long ago leaves every decision whole or gone, and the next goes on.
func TestForgettingKilled(t *testing.T) {
	kills, decisions, accounts := 12, 400, 20
	if testing.Short() {
		kills, decisions = 2, 100
	}
	path := filepath.Join(t.TempDir(), "c.db")
	s := open(t, "sqlite:"+path)
	ended(t, s, decisions, accounts, at(0))
	_, err := s.PutReport(t.Context(), &palladium.Report{Campaigns: []palladium.Campaign{{ID: "c", Stage: palladium.StageAct, Exchanges: 1 << 20}}})
	check(t, err)
	check(t, s.Close())
	db := connect(t, "sqlite:"+path)
	left := func() (n int64) {
		t.Helper()
		for query, want := range map[string]int64{
			fmt.Sprintf("SELECT count(*) FROM decisions d WHERE (SELECT count(*) FROM verdicts v WHERE v.decision = d.id) <> %d OR (SELECT count(*) FROM notices n WHERE n.decision = d.id) <> %[1]d", accounts): 0,
			"SELECT count(*) FROM decisions d WHERE NOT EXISTS (SELECT 1 FROM details x WHERE x.digest = d.detail)":                                                                                              0,
			"SELECT count(*) FROM verdicts v WHERE NOT EXISTS (SELECT 1 FROM decisions d WHERE d.id = v.decision)":                                                                                               0,
			"SELECT count(*) FROM notices n WHERE NOT EXISTS (SELECT 1 FROM decisions d WHERE d.id = n.decision)":                                                                                                0,
			"SELECT count(*) - (SELECT count(*) FROM decisions) FROM details":                                                                                                                                    1, // the campaign's own
			"SELECT (SELECT count(*) FROM decisions) + (SELECT count(*) FROM events WHERE kind = 'decision.forgotten')":                                                                                          int64(decisions),
		} {
			var got int64
			check(t, db.Row(t.Context(), query, nil, &got))
			if got != want {
				t.Errorf("%d, wanted %d: %s", got, want, query)
			}
		}
		check(t, db.Row(t.Context(), "SELECT count(*) FROM decisions", nil, &n))
		return n
	}
	var seen []int64
	for range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestForgettingChild$")
		cmd.Env = append(os.Environ(), "CATALOG_TEST_FORGETS="+path)
		said, err := cmd.StderrPipe()
		check(t, err)
		check(t, cmd.Start())
		for in := bufio.NewScanner(said); in.Scan(); {
			time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
		_ = cmd.Wait() // it was killed, or was ready
		seen = append(seen, left())
	}
	s = open(t, "sqlite:"+path)
	defer s.Close()
	_, _, err = s.Forget(t.Context(), time.Now())
	check(t, err)
	if n := left(); n != 0 {
		t.Errorf("%d decisions are left", n)
	}
	t.Logf("of %d decisions there were after each kill: %v", decisions, seen)
}

// How long the longest transaction of Forget takes beside the one in which the decision was made: a decision on 24,000 accounts.
func BenchmarkForget(b *testing.B) {
	var made, gone time.Duration
	for b.Loop() {
		s, err := catalog.Open(b.Context(), catalog.Config{URL: filepath.Join(b.TempDir(), "c.db")}, nil, true)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		ended(b, s, 1, 24_000, at(0))
		made += time.Since(begun)
		if _, _, err = s.Forget(b.Context(), at(0).Add(-time.Hour)); err != nil {
			b.Fatal(err)
		}
		begun = time.Now()
		n, _, err := s.Forget(b.Context(), time.Now())
		if err != nil || n != 1 {
			b.Fatalf("%d %v", n, err)
		}
		gone += time.Since(begun) / 2 // the other half it waits
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(gone)/float64(made), "of-making")
	b.ReportMetric(gone.Seconds()*1000/float64(b.N), "ms")
}

// What the catalog's rows take on disk, with their indexes: a verdict with its notice, a decision without them, an event.
func BenchmarkBytes(b *testing.B) {
	size := func(fill func(s *catalog.Store)) float64 {
		path := filepath.Join(b.TempDir(), "c.db")
		s, err := catalog.Open(b.Context(), catalog.Config{URL: path}, nil, true)
		if err != nil {
			b.Fatal(err)
		}
		fill(s)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size())
	}
	for b.Loop() {
		few, many := size(func(s *catalog.Store) { ended(b, s, 500, 2, at(0)) }), size(func(s *catalog.Store) { ended(b, s, 500, 102, at(0)) })
		none := size(func(s *catalog.Store) {})
		verdict := (many - few) / 500 / 100
		events := size(func(s *catalog.Store) {
			for i := range 20 {
				var list []*catalog.Event
				for j := range 1000 {
					list = append(list, &catalog.Event{At: at(1), Actor: "policy:1a2b3c4d5e6f", Kind: "decision.made", Subject: fmt.Sprintf("decision:d_%020d", i*1000+j), Refs: []string{"campaign:c-one-0123456789"},
						Data: []byte(`{"measure":"slow","accounts":100,"state":"enforced","expires":"2026-05-04T00:00:00Z","reason":"campaign.extraction"}`), LedgerIndex: int64(j)})
				}
				if err := s.Append(b.Context(), list...); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(verdict, "B/verdict")
		b.ReportMetric((few-none)/500-2*verdict, "B/decision")
		b.ReportMetric((events-none)/20_000, "B/event")
	}
}
