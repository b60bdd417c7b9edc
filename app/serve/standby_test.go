package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/tap/file"
	"github.com/palladium-guard/palladium/world"
	recording "github.com/palladium-guard/palladium/world/record"
)

// standbyConfig has a budget put on the accounts of every campaign that is listed for review.
const standbyConfig = "  stages: {review: {measure: budget, tokens: 1000}}\ndetector: {save_every: 500ms}\n"

// feed gives a made-up world's traffic to a stream in parts, each when it is asked for.
type feed struct {
	t     *testing.T
	ctx   context.Context
	into  []*stream.Publisher // the same to each
	every int                 // observations in a part
	given int
	turn  chan struct{} // a part may be given
	part  chan error    // a part was given; closed at the end
}

// newFeed makes the world of the demo, smaller, with one campaign.
func newFeed(t *testing.T, parts int, into ...*stream.Publisher) *feed {
	t.Helper()
	s, ok := world.Preset("demo")
	if !ok {
		t.Fatal("no preset")
	}
	s.Seed, s.Days, s.Benign = 1, 4, world.Population(800)
	s.Campaigns[0].Accounts, s.Campaigns[0].Start = 120, 1
	w, err := world.New(s, world.OwnCorpus(1))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "traffic")
	if _, err := recording.Write(w, dir, false, nil); err != nil {
		t.Fatal(err)
	}
	cues, err := app.Cues()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	f := &feed{t: t, ctx: ctx, into: into, turn: make(chan struct{}), part: make(chan error)}
	read := func(to app.Sink) error {
		_, err := app.Feed(ctx, file.Options{Paths: []string{dir}, Formats: app.Formats()}, [32]byte([]byte(strings.Repeat("k", 32))), cues, to)
		return err
	}
	count := &counted{}
	if err := read(count); err != nil {
		t.Fatal(err)
	}
	f.every = count.n/parts + 1
	var work sync.WaitGroup
	work.Go(func() {
		defer close(f.part)
		select {
		case <-f.turn:
		case <-ctx.Done():
			return
		}
		err := errors.Join(read(f), f.flush())
		select {
		case f.part <- err:
		case <-ctx.Done():
		}
	})
	t.Cleanup(func() { stop(); work.Wait() })
	return f
}

type counted struct{ n int }

func (*counted) Describe(*palladium.Account) error      { return nil }
func (*counted) NameModel(uint64, string)               {}
func (c *counted) Observe(*palladium.Observation) error { c.n++; return nil }
func (*counted) Reached([]file.Position) error          { return nil }

func (f *feed) Describe(a *palladium.Account) error {
	return f.each(func(p *stream.Publisher) error { return p.DescribeWait(f.ctx, a) })
}
func (f *feed) NameModel(hash uint64, name string) {
	_ = f.each(func(p *stream.Publisher) error { p.NameModel(hash, name); return nil })
}
func (f *feed) Reached([]file.Position) error { return nil }

func (f *feed) Observe(o *palladium.Observation) error {
	if f.given++; f.given%f.every == 0 {
		select {
		case f.part <- f.flush():
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
		select {
		case <-f.turn:
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
	}
	return f.each(func(p *stream.Publisher) error { return p.ObserveWait(f.ctx, o) })
}

func (f *feed) each(do func(*stream.Publisher) error) error {
	for _, p := range f.into {
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) flush() error {
	return f.each(func(p *stream.Publisher) error { return p.Flush(f.ctx) })
}

// next gives the next part; false: there is none.
func (f *feed) next() bool {
	f.t.Helper()
	select {
	case f.turn <- struct{}{}:
	case <-f.part:
		return false
	}
	if err := <-f.part; err != nil {
		f.t.Fatal(err)
	}
	return true
}

// undisturbed is a detector in this process, at a stream of its own.
type undisturbed struct {
	s   *stream.Stream
	det *live.Detector
}

func newUndisturbed(t *testing.T) *undisturbed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := stream.Open(t.Context(), stream.Config{Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	det, err := live.Open(live.Options{Key: [32]byte([]byte(strings.Repeat("k", 32))), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- det.Run(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return &undisturbed{s, det}
}

// found is what a report lists: each campaign with its stage and members.
func found(r *palladium.Report) map[string]string {
	out := map[string]string{}
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		out[c.ID] = members(c)
	}
	return out
}

func members(c *palladium.Campaign) string {
	var ids []string
	for _, m := range c.Accounts {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	return fmt.Sprint(c.Stage, " ", ids)
}

// listed is what the catalog lists.
func listed(t *testing.T, cat *catalog.Store) map[string]string {
	t.Helper()
	list, _, err := cat.ListCampaigns(t.Context(), catalog.CampaignQuery{Listed: true, Page: catalog.Page{Limit: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range list {
		c, err := cat.WholeCampaign(t.Context(), list[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		out[c.ID] = members(&c.Campaign)
	}
	return out
}

// pair is two detectors of one installation, and what stands beside them.
type pair struct {
	t     *testing.T
	parts map[string]*part
	cat   *catalog.Store
	feed  *feed
	none  *undisturbed
	s     *stream.Stream  // the one that they read
	took  []time.Duration // from the death of one to when the other decides
	on    []time.Duration // and to when it has taken in what came after
}

func (p *pair) leads(name string) bool {
	_, m := p.parts[name].ask("/metrics")
	return strings.Contains(m, "\npalladium_detector_leading 1\n")
}

// leader waits until one of the names decides.
func (p *pair) leader(names ...string) string {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		for _, name := range names {
			if p.leads(name) {
				return name
			}
		}
		if time.Now().After(end) {
			for _, name := range names {
				p.t.Logf("%s: %s", name, p.parts[name].said())
			}
			p.t.Fatalf("none of %v decides", names)
		}
	}
}

// other is the detector that is not the one.
func (p *pair) other(one string) string {
	if one == "detector1" {
		return "detector2"
	}
	return "detector1"
}

// over waits until the other decides after the one was killed or stopped, and notes how long that took.
func (p *pair) over(one string) string {
	p.t.Helper()
	begun := time.Now()
	next := p.leader(p.other(one))
	p.took = append(p.took, time.Since(begun))
	return next
}

// caughtUp waits until a detector has taken in what was given.
func (p *pair) caughtUp(name string) {
	p.t.Helper()
	p.parts[name].until("catching up", func() bool {
		_, m := p.parts[name].ask("/metrics")
		_, rest, _ := strings.Cut(m, "\npalladium_detector_observations_total ")
		var taken float64
		_, err := fmt.Sscan(rest, &taken)
		return err == nil && int(taken) >= p.feed.given-1
	})
}

// whole waits until a cluster is whole again, and led by other nodes than the one that decides.
func (p *pair) whole(one string) {
	p.t.Helper()
	js, _, _ := p.s.Servers()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		why := ""
		all := js.ListStreams(p.t.Context())
		for info := range all.Info() {
			if info.Cluster == nil || len(info.Cluster.Replicas) == 0 {
				continue // a server alone
			}
			if info.Cluster.Leader == "" || info.Cluster.Leader == one {
				why = fmt.Sprintf("%s is led by %q", info.Config.Name, info.Cluster.Leader)
			}
			for _, r := range info.Cluster.Replicas {
				if r.Offline || !r.Current {
					why = fmt.Sprintf("%s at %s is behind", info.Config.Name, r.Name)
				}
			}
		}
		if why == "" && all.Err() == nil {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("the cluster is not whole: %s %v", why, all.Err())
		}
	}
}

// kill kills the leader, waits for the other, and starts the killed one again.
func (p *pair) kill(one string) (next string) {
	p.t.Helper()
	p.whole(one)
	at := time.Now()
	p.parts[one].kill()
	next = p.over(one)
	p.feed.next()
	p.caughtUp(next)
	p.on = append(p.on, time.Since(at))
	p.parts[one].start()
	p.parts[one].until("ready", p.parts[one].ready)
	p.caughtUp(one)
	return next
}

// stop stops the leader, lets the other find more meanwhile, and has the one wake.
func (p *pair) stop(one string) (next string) {
	p.t.Helper()
	was := p.parts[one]
	p.whole(one)
	if err := was.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	p.feed.next()
	next = p.over(one)
	p.caughtUp(next)
	if err := was.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.t.Fatal(err)
	}
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if p.leads(one) && time.Until(end) < time.Second {
			p.t.Fatalf("%s decides after its lease", one)
		}
	}
	if !p.leads(next) {
		p.t.Errorf("%s decides no more", next)
	}
	return next
}

// agree compares with the undisturbed run what the catalog lists, and looks at every verdict.
func (p *pair) agree() {
	p.t.Helper()
	for p.none.det.Figures().Taken < int64(p.feed.given) {
		time.Sleep(10 * time.Millisecond)
	}
	want := found(p.none.det.Latest())
	var got map[string]string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = listed(p.t, p.cat); maps.Equal(got, want) {
			break
		}
	}
	if !maps.Equal(got, want) || len(want) == 0 {
		p.t.Errorf("campaigns:\n%v\nnot\n%v", got, want)
	}
	verdicts, acted, wrong := p.verdicts()
	for end := time.Now().Add(20 * time.Second); wrong != "" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		verdicts, acted, wrong = p.verdicts() // what was decided about a campaign that became another is withdrawn after the campaigns are written
	}
	if wrong != "" {
		p.t.Error(wrong)
	}
	slices.Sort(p.took)
	slices.Sort(p.on)
	if acted == 0 {
		p.t.Error("the world has no campaign to act on")
	}
	p.t.Logf("%d campaigns, %d accounts acted on, %d verdicts in force; %d takeovers: %s", len(want), acted, verdicts, len(p.took), span(p.took))
	p.t.Logf("what came after was taken in: %s", span(p.on))
	if most := p.took[len(p.took)-1]; most > 10*time.Second {
		p.t.Errorf("a takeover took %v", most)
	}
}

// verdicts says how many verdicts are in force, on how many accounts one is to be, and what is wrong with them.
func (p *pair) verdicts() (n, acted int, wrong string) {
	p.t.Helper()
	now := time.Now()
	verdicts, _, err := p.cat.ListVerdicts(p.t.Context(), catalog.VerdictQuery{InForce: &now, Page: catalog.Page{Limit: 1000}})
	if err != nil {
		p.t.Fatal(err)
	}
	holds := map[string]int{}
	for _, v := range verdicts {
		holds[v.Account+" "+string(v.Measure)]++
	}
	r := p.none.det.Latest()
	for i := range r.Campaigns {
		for _, m := range r.Campaigns[i].Accounts {
			if s := r.Campaigns[i].Stage; s == palladium.StageAct || s == palladium.StageReview {
				acted++
				if n := holds[m.ID+" budget"]; n != 1 {
					wrong = fmt.Sprintf("%d budgets on account %s", n, m.ID)
				}
			}
		}
	}
	for what, n := range holds {
		if n != 1 {
			wrong = fmt.Sprintf("%d times %s", n, what)
		}
	}
	return len(verdicts), acted, wrong
}

// span says what lies in sorted times.
func span(d []time.Duration) string {
	const to = 10 * time.Millisecond
	return fmt.Sprintf("%v to %v, median %v", d[0].Round(to), d[len(d)-1].Round(to), d[len(d)/2].Round(to))
}

func openCatalog(t *testing.T, url string) *catalog.Store {
	t.Helper()
	cat, err := catalog.Open(t.Context(), catalog.Config{URL: url}, slog.New(slog.DiscardHandler), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cat.Close() })
	return cat
}

// Two detectors at a NATS server: one that starts late has its state from the one that leads, since the stream's beginning is gone;
// each takes over from the other when that is killed or stopped, one that wakes after its lease writes nothing, and in the end there
// are the campaigns of an undisturbed run, and every verdict once. FLEET_TAKEOVERS sets how often one is killed.
func TestStandby(t *testing.T) {
	kills := number("FLEET_TAKEOVERS", 0)
	if kills == 0 {
		t.Skip("takes minutes: make faults")
	}
	f := newFleet(t, standbyConfig)
	s, err := stream.Open(t.Context(), stream.Config{URL: f.nats}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	none := newUndisturbed(t)
	p := &pair{t: t, parts: f.parts, none: none, s: s, feed: newFeed(t, 2*kills+4, s.Publisher("test"), none.s.Publisher("test"))}
	f.begin("detector1")
	p.cat = openCatalog(t, f.database)
	p.feed.next()
	time.Sleep(time.Second) // a state is kept with the next batch after save_every
	p.feed.next()
	p.parts["detector1"].until("the end of the stream's beginning", func() bool {
		whole, err := s.Whole(t.Context())
		return err == nil && !whole
	})
	f.begin("detector2")
	p.caughtUp("detector2")
	if said := p.parts["detector2"].said(); !strings.Contains(said, "goes on from the state that was handed on") {
		t.Errorf("where has it its state from?\n%s", said)
	}
	one := p.leader("detector1", "detector2")
	for range kills {
		p.feed.next()
		one = p.kill(one)
	}
	p.stop(one)
	for p.feed.next() {
	}
	p.agree()
}

// The same with a cluster that three processes form: the two detectors, and this one, which feeds them.
func TestStandbyInCluster(t *testing.T) {
	kills := number("FLEET_TAKEOVERS", 0)
	if kills == 0 {
		t.Skip("takes minutes: make faults")
	}
	f := newFleet(t, standbyConfig)
	secret := filepath.Join(f.dir, "cluster")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret", 6)), 0o600); err != nil {
		t.Fatal(err)
	}
	at := map[string]string{"detector1": free(t), "detector2": free(t), "test": free(t)}
	var peers []string
	for _, a := range at {
		peers = append(peers, a)
	}
	cluster := func(name string) stream.Cluster {
		return stream.Cluster{Name: "c", Node: name, Listen: at[name], Peers: peers, SecretFile: secret}
	}
	whole := f.text
	for _, name := range []string{"detector1", "detector2"} {
		f.text = strings.Replace(whole, `stream: {url: "`+f.nats+`"}`, fmt.Sprintf(`stream: {dir: %q, cluster: {name: c, node: %s, listen: %q, peers: [%s], secret_file: %q}}`,
			filepath.Join(f.dir, "stream-"+name), name, at[name], `"`+strings.Join(peers, `", "`)+`"`, secret), 1)
		f.parts[name] = newPart(t, f.dir, name, "detector", f.text)
		f.parts[name].start()
	}
	s, err := stream.Open(t.Context(), stream.Config{Dir: filepath.Join(f.dir, "stream-test"), Cluster: cluster("test")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, p := range f.parts {
		p.until("ready", p.ready)
	}
	none := newUndisturbed(t)
	p := &pair{t: t, parts: f.parts, none: none, s: s, feed: newFeed(t, 2*kills+3, s.Publisher("test"), none.s.Publisher("test")), cat: openCatalog(t, f.database)}
	p.feed.next()
	one := p.leader("detector1", "detector2")
	for range kills {
		p.feed.next()
		p.caughtUp(one)
		p.caughtUp(p.other(one))
		one = p.kill(one)
	}
	p.stop(one)
	for p.feed.next() {
	}
	p.agree()
}
