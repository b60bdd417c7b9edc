package live

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

// desk is a board with a catalog and a campaign of some accounts, that publishes on a stream.
type desk struct {
	t     *testing.T
	cat   *catalog.Store
	board *Board
}

func newDesk(t *testing.T, accounts ...string) *desk {
	t.Helper()
	cat, err := catalog.Open(t.Context(), catalog.Config{URL: filepath.Join(t.TempDir(), "catalog.db")}, quiet, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cat.Close() })
	policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t, cat, NewBoard(BoardOptions{Catalog: cat, Policy: policy, Log: quiet})}
	if _, err := cat.PutReport(t.Context(), campaignOf(accounts...)); err != nil {
		t.Fatal(err)
	}
	return d
}

func campaignOf(accounts ...string) *palladium.Report {
	c := palladium.Campaign{ID: "c-one", Stage: palladium.StageAct, First: time.Now(), Last: time.Now()}
	for _, id := range accounts {
		c.Accounts = append(c.Accounts, palladium.Member{ID: id, Membership: 1})
	}
	return &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{c}}
}

func (d *desk) slow(accounts ...string) {
	d.t.Helper()
	_, err := d.board.Decide(d.t.Context(), api.Draft{
		Campaign: "c-one", Accounts: accounts, Measure: palladium.MeasureSlow, Reason: "campaign.extraction", Text: "They extract.",
		Expires: time.Now().Add(time.Hour), By: "ana", Terms: catalog.Terms{Delay: time.Second},
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// publishes runs Publish until the test ends.
func (d *desk) publishes(s *stream.Stream) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		d.board.Publish(ctx, s, func(err error) bool { return errors.Is(err, stream.ErrOlder) })
		close(done)
	}()
	d.t.Cleanup(func() { cancel(); <-done })
}

// gateway follows the table of verdicts, and waits until it names the accounts and no others.
type gateway struct {
	mu    sync.Mutex
	table *verdict.Table
}

func follow(t *testing.T, s *stream.Stream) *gateway {
	g := &gateway{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		_ = s.Watch(ctx, VerdictTable, func(_ uint64, data []byte) {
			table, err := verdict.Decode(data)
			if err != nil {
				t.Error(err)
			}
			g.mu.Lock()
			g.table = table
			g.mu.Unlock()
		})
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return g
}

func (g *gateway) has(t *testing.T, accounts ...string) {
	t.Helper()
	want := strings.Join(accounts, " ")
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		g.mu.Lock()
		table := g.table
		g.mu.Unlock()
		if table == nil {
			continue
		}
		var list []string
		for v := range table.All() {
			list = append(list, v.Account)
		}
		if got = fmt.Sprint(strings.Join(list, " ")); got == want {
			return
		}
	}
	t.Fatalf("gateways have verdicts on %q, not on %q", got, want)
}

// An account whose id no verdict can hold keeps nobody else from being decided about, and a verdict that cannot be published keeps
// no other from gateways.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, odd := range []string{long, strings.Repeat("x", 1001), "odd\xff", "nul\x00"} {
		d := newDesk(t, "a", "b", odd)
		s := openStream(t, t.TempDir())
		t.Cleanup(func() { _ = s.Close() })
		d.publishes(s)
		out, err := NewActor(d.board).Act(t.Context(), campaignOf("a", "b", odd))
		if err != nil || len(out.Decided) != 1 || out.Decided[0].Accounts != 2 {
			t.Fatalf("%.20q: %+v %v", odd, out, err)
		}
		g := follow(t, s)
		g.has(t, "a", "b")
		if _, err := d.board.Decide(t.Context(), api.Draft{
			Campaign: "c-one", Accounts: []string{odd}, Measure: palladium.MeasureObserve, Reason: "campaign.extraction", Text: "They extract.",
			Expires: time.Now().Add(time.Hour), By: "ana",
		}); !errors.Is(err, ErrNobody) && !errors.Is(err, ErrDraft) {
			t.Errorf("%.20q: %v", odd, err)
		}
	}

	d := newDesk(t, "a")
	s := openStream(t, t.TempDir())
	defer s.Close()
	d.publishes(s)
	if _, err := d.cat.PutVerdicts(t.Context(), []catalog.Verdict{{
		Verdict: palladium.Verdict{ID: "v-old", Account: long, Measure: palladium.MeasureObserve, Issued: time.Now(), Expires: time.Now().Add(time.Hour)},
		State:   catalog.StateEnforced, LedgerIndex: -1,
	}}); err != nil {
		t.Fatal(err)
	}
	d.slow("a")
	follow(t, s).has(t, "a")
}

// A catalog that was replaced by an older copy is the truth: what it holds takes the place of the newer table that gateways have.
func TestOlderCatalog(t *testing.T) {
	s := openStream(t, t.TempDir())
	defer s.Close()
	g := follow(t, s)
	t.Run("before", func(t *testing.T) {
		d := newDesk(t, "a", "b", "c")
		d.publishes(s)
		d.slow("a")
		d.slow("b")
		d.slow("c")
		g.has(t, "a", "b", "c")
	})
	d := newDesk(t, "a", "d")
	d.publishes(s)
	g.has(t)
	d.slow("d")
	g.has(t, "d")
}
