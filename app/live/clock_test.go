package live

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/app/wallclock"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// set is a machine's clock that can be set, beside one that cannot.
type set struct {
	mu     sync.Mutex
	wall   time.Time
	passed time.Duration
}

func (s *set) read() (time.Time, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wall, s.passed
}

// goes lets time pass, in which the clock is set ahead by jump.
func (s *set) goes(passes, jump time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wall, s.passed = s.wall.Add(passes+jump), s.passed+passes
}

// states are how often decisions, verdicts and approvals are in a state, with the sessions that are known.
func (d *desk) states() string {
	d.t.Helper()
	var out []string
	decisions, _, err := d.cat.ListDecisions(d.t.Context(), catalog.DecisionQuery{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range decisions {
		out = append(out, "decision:"+v.State)
	}
	verdicts, _, err := d.cat.ListVerdicts(d.t.Context(), catalog.VerdictQuery{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range verdicts {
		out = append(out, "verdict:"+v.State)
	}
	approvals, _, err := d.cat.ListApprovals(d.t.Context(), nil, catalog.Page{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range approvals {
		out = append(out, "approval:"+v.State)
	}
	if _, err := d.cat.GetSession(d.t.Context(), "s", time.UnixMilli(0)); err == nil {
		out = append(out, "session")
	}
	return strings.Join(out, " ")
}

// A clock that jumps ahead ends nothing: what was decided, waits for approval or is signed in is there once it is set back, nothing is
// renewed or withdrawn meanwhile, and gateways are given all of it. A clock that stands by it is believed.
func TestClockJump(t *testing.T) {
	const far = 40 * 24 * time.Hour
	for _, row := range []struct {
		name  string
		then  func(c *set)
		lapse bool
	}{
		{"comes back", func(c *set) { c.goes(time.Minute, -far) }, false},
		{"is looked at for most of an hour", func(c *set) { c.goes(58*time.Minute, 0) }, false},
		{"stays", func(c *set) { c.goes(time.Hour, 0) }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			d := newDesk(t, "a", "b")
			clock := &set{wall: time.Now()}
			var said bytes.Buffer
			guard := wallclock.New(clock.read, slog.New(slog.NewTextHandler(&said, nil)))
			policy, err := sanction.New(sanction.Config{Mode: sanction.Enforce})
			if err != nil {
				t.Fatal(err)
			}
			d.board = NewBoard(BoardOptions{Catalog: d.cat, Policy: policy, Log: quiet, Now: guard.Now})
			actor := NewActor(d.board)
			if out, err := actor.Act(ctx, campaignOf("a", "b")); err != nil || len(out.Decided) != 1 {
				t.Fatalf("%+v %v", out, err)
			}
			_, err = d.board.Decide(ctx, api.Draft{Campaign: "c-one", Accounts: []string{"a"}, Measure: palladium.MeasureSuspend, Reason: "campaign.extraction", Text: "They extract.",
				Expires: clock.wall.Add(30 * 24 * time.Hour), By: "ana"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.cat.PutUser(ctx, catalog.User{ID: "ana", Name: "ana", Handle: []byte("ana"), Role: "admin", Created: clock.wall}); err != nil {
				t.Fatal(err)
			}
			if err := d.cat.PutSession(ctx, catalog.Session{ID: "s", User: "ana", Method: "password", Created: clock.wall, Seen: clock.wall, Expires: clock.wall.Add(12 * time.Hour)}); err != nil {
				t.Fatal(err)
			}
			s := openStream(t, t.TempDir())
			t.Cleanup(func() { _ = s.Close() })
			d.publishes(s)
			g := follow(t, s)
			g.has(t, "a", "b")
			before := d.states()

			look := func(what string) {
				t.Helper()
				d.board.expire(ctx)
				if got := d.states(); got != before {
					t.Fatalf("%s:\n%s, was\n%s", what, got, before)
				}
			}
			clock.goes(30*time.Second, far)
			look("after the jump")
			if out, err := actor.Again(ctx, campaignOf("a", "b")); err != nil || len(out.Decided)+len(out.Withdrawn) != 0 {
				t.Fatalf("policy does again what it has done: %+v %v", out, err)
			}
			look("after policy was carried out")
			if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), "ahead=960h0m0s") {
				t.Errorf("it is said %d times: %s", n, said.String())
			}
			if ok, says := guard.Health(); ok || !strings.Contains(says, "960h0m0s") {
				t.Errorf("health is %v: %s", ok, says)
			}
			if _, err := d.cat.RaiseVerdicts(ctx, 1000); err != nil { // as any other change would, it has the table published anew
				t.Fatal(err)
			}
			d.board.Kick()
			for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
				if v, _ := d.board.Published(); v > 1000 {
					break
				} else if time.Now().After(end) {
					t.Fatalf("version %d is the last that was published", v)
				}
			}
			g.has(t, "a", "b")

			row.then(clock)
			if !row.lapse {
				look("then")
				return
			}
			d.board.expire(ctx)
			if got, want := d.states(), "decision:expired decision:expired verdict:expired verdict:expired verdict:expired approval:expired"; got != want {
				t.Errorf("there are\n%s, not\n%s", got, want)
			}
			if ok, says := guard.Health(); !ok {
				t.Errorf("health is still degraded: %s", says)
			}
		})
	}
}
