// Package serve runs the whole product as one system: gateway, stream, detector, board, catalog and what reports on them,
// in one process or with the parts in several.
package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/app/serving"
	"github.com/palladium-guard/palladium/app/telemetry"
	"github.com/palladium-guard/palladium/app/wallclock"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/notify"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway/observe"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// Role is a part of the system that a process can run.
type Role string

// The roles. A process without a role named runs all of them.
const (
	RoleGateway  Role = "gateway"  // stands in front of the model, and applies verdicts
	RoleDetector Role = "detector" // finds campaigns; of several, one decides and the others stand by
	RoleAPI      Role = "api"      // the operator's API
	RoleCheck    Role = "check"    // answers other people's gateways, where an address for it is configured
)

// Roles lists all roles.
func Roles() []Role { return []Role{RoleGateway, RoleDetector, RoleAPI, RoleCheck} }

// ParseRoles reads names with commas between them; none stands for all.
func ParseRoles(text string) ([]Role, error) {
	if text == "" {
		return Roles(), nil
	}
	var out []Role
	for name := range strings.SplitSeq(text, ",") {
		r := Role(strings.TrimSpace(name))
		if !slices.Contains(Roles(), r) {
			return nil, fmt.Errorf("role %q is none of gateway, detector, api, check", name)
		}
		out = append(out, r)
	}
	return out, nil
}

// Options are what the command line says.
type Options struct {
	Config    string // file; "" for none
	Roles     []Role // nil: all
	State     string // directory for all that outlives a restart
	Upstreams []string
	Listen    string // callers
	Admin     string // the operator's metrics and health
	API       string // the operator's API and console
	Keys      string
	Anonymous string
	Check     bool
	Log       io.Writer
	Ready     func(Addresses)

	// Observed stands between the gateway and the stream; the demo gives observations the time of its world there. May be nil.
	Observed func(next Sink) Sink
	// Welcome is told how the first administrator signs in, while there is none. May be nil.
	Welcome func(origin, token string)
	// Traces is where spans go; nil for nowhere.
	Traces *telemetry.Traces
	// Acted is told of each round of policy. May be nil.
	Acted func(*palladium.Report, live.Acted)
}

// Sink takes what a gateway measures.
type Sink interface {
	observe.Sink
	observe.Namer
}

// Addresses are where a running system can be reached; "" for parts that do not run here.
type Addresses struct{ Callers, Admin, API string }

// house is one running process.
type house struct {
	o       Options
	file    *config.File
	text    []byte // of the file, as it was read at the start
	log     *slog.Logger
	key     [32]byte
	self    string // this process among others
	stream  *stream.Stream
	cat     *catalog.Store
	board   *live.Board
	clock   *wallclock.Clock // nil where there is no catalog
	det     *live.Detector
	figures []prometheus.Collector // of the operator's API
	judging string                 // id of the stored policy that the detector judges by
	ledger  *writtenLedger         // nil: none is kept
	notify  *notify.Notifier       // nil: nobody is told
	began   []began                // taps, and what answers checks
	work    sync.WaitGroup
	failed  chan error
	leads   func() bool
	ready   Addresses
	since   time.Time

	configured atomic.Pointer[sanction.Config] // the enforcement policy of the file, as it was read last

	mu         sync.Mutex // guards ready and publishers
	publishers map[string]*stream.Publisher
}

// Run serves until ctx ends, then drains: callers first, then what they left in the stream. It returns nil after an orderly
// end.
func Run(ctx context.Context, o Options) error {
	if len(o.Roles) == 0 {
		o.Roles = Roles()
	}
	o.State = cmp.Or(o.State, "palladium-state")
	h := &house{o: o, log: slog.New(slog.NewTextHandler(o.Log, nil)), failed: make(chan error, 8), self: self(), since: time.Now().UTC(), publishers: map[string]*stream.Publisher{}}
	var err error
	if h.file, err = h.load(); err != nil {
		return err
	}
	if o.Check {
		return nil
	}
	early := make(chan os.Signal, 1) // a hang-up while parts are still opened must not end the process
	signal.Notify(early, syscall.SIGHUP)
	defer signal.Stop(early)
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := h.open(ctx); err != nil {
		return errors.Join(err, h.close())
	}
	if err := h.start(inner); err != nil {
		stop()
		h.work.Wait()
		return errors.Join(err, h.close())
	}
	err = h.gateway(ctx, inner)
	stop()
	h.work.Wait()
	return errors.Join(err, h.close())
}

func self() string {
	name, err := os.Hostname()
	if err != nil {
		name = "palladium"
	}
	return fmt.Sprintf("%s-%d", name, os.Getpid())
}

func (h *house) runs(r Role) bool { return slices.Contains(h.o.Roles, r) }

// load reads the configuration, puts what the command line says over it, and fills what follows from the state directory.
func (h *house) load() (*config.File, error) {
	f, err := h.read()
	if err != nil {
		return nil, err
	}
	return f, h.located(errors.Join(h.check(f), h.starts(f)))
}

// located puts file and line before each error of a check.
func (h *house) located(err error) error {
	if err == nil || len(h.text) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", h.o.Config, config.NewTrail(h.text).Locate(err))
}

// read reads without a look at whether it holds together.
func (h *house) read() (*config.File, error) {
	f := &config.File{}
	if h.o.Config != "" {
		data, err := os.ReadFile(h.o.Config)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		if f, err = config.Parse(data); err != nil {
			return nil, fmt.Errorf("read %s: %w", h.o.Config, err)
		}
		h.text = data
	}
	Fill(f, h.o.State)
	if len(h.o.Upstreams) > 0 {
		f.Gateway.Upstreams = nil
		for _, u := range h.o.Upstreams {
			f.Gateway.Upstreams = append(f.Gateway.Upstreams, pool.Config{URL: u})
		}
	}
	h.file = f
	return f, nil
}

// Fill puts in what follows from the state directory where nothing else was said.
func Fill(f *config.File, state string) {
	if f.Stream.URL == "" && f.Stream.Dir == "" {
		f.Stream.Dir = filepath.Join(state, "stream")
	}
	f.Catalog.URL = cmp.Or(f.Catalog.URL, "sqlite:"+filepath.Join(state, "catalog.db"))
	f.Catalog.Fill()
	f.Taps.Fill()
	f.Check.Fill()
	fillArchive(f, state)
	f.Detector.Dir = cmp.Or(f.Detector.Dir, filepath.Join(state, "detector"))
	f.Gateway.State = cmp.Or(f.Gateway.State, filepath.Join(state, "gateway"))
	f.Key = cmp.Or(f.Key, filepath.Join(state, "measuring.key"))
	f.Ledger.Dir = cmp.Or(f.Ledger.Dir, filepath.Join(state, "ledger"))
	f.Ledger.Key = cmp.Or(f.Ledger.Key, filepath.Join(state, "ledger.key"))
	f.Ledger.Public = cmp.Or(f.Ledger.Public, filepath.Join(state, "ledger.pub"))
}

func (h *house) check(f *config.File) error {
	var errs []error
	if _, err := sanction.New(f.Enforcement); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, f.Detector.Check(), f.Taps.Check(), f.Notify.Check(), f.Catalog.Check(), h.addresses(f))
	if h.runs(RoleAPI) && f.SignIn.OIDC != nil {
		errs = append(errs, f.SignIn.OIDC.Check())
	}
	if !f.Archive.Off {
		errs = append(errs, f.Archive.Check())
	}
	if f.Check.HTTP != "" || f.Check.GRPC != "" {
		errs = append(errs, f.Check.Check())
	}
	if h.runs(RoleGateway) {
		o := h.serving(nil)
		_, err := o.Load()
		errs = append(errs, err)
	}
	_, err := f.Stream.Filled()
	return errors.Join(append(errs, err, h.compiles(f))...)
}

// starts says why nothing would start here although each section is well: for what is missing beside it, which the command line may
// bring elsewhere.
func (h *house) starts(f *config.File) error {
	var errs []error
	if !h.runs(RoleDetector) && f.Stream.URL == "" && f.Stream.Cluster.Name == "" {
		errs = append(errs, errors.New("stream: a process without the role detector needs stream.url or stream.cluster: what it observes would reach nobody, and no verdict would come"))
	}
	if !h.runs(RoleGateway) {
		return errors.Join(errs...)
	}
	if f.Gateway.Verdicts.File != "" {
		errs = append(errs, errors.New("gateway.verdicts.file is set, but verdicts come from the detector: leave it out, or run palladium gateway alone"))
	}
	c := &f.Credentials
	if c.Keys == "" && h.o.Keys == "" && len(c.Tokens)+len(c.Certificates)+len(c.SPIFFE)+len(c.Trusted) == 0 && !c.Anonymous.Allow && h.o.Anonymous == "" {
		errs = append(errs, errors.New("credentials: no way is given in which callers are known: make a file of keys with palladium key create, and name it in credentials.keys or by --keys"))
	}
	return errors.Join(errs...)
}

// serving is what the gateway is told.
func (h *house) serving(j *serving.Joined) serving.Options {
	return serving.Options{
		Config: h.o.Config, Upstreams: h.o.Upstreams, Listen: h.o.Listen, Admin: h.o.Admin, Keys: h.o.Keys, Anonymous: h.o.Anonymous,
		State: h.file.Gateway.State, Log: h.o.Log, Join: j, Tracer: h.o.Traces.Gateway(), Appeal: h.appealLink,
	}
}

// open opens what all parts stand on.
func (h *house) open(ctx context.Context) error {
	if err := os.MkdirAll(h.o.State, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	var err error
	if h.key, err = measuringKey(h.file.Key); err != nil {
		return err
	}
	if h.stream, err = stream.Open(ctx, h.file.Stream, h.log); err != nil {
		return err
	}
	if h.runs(RoleDetector) || h.runs(RoleAPI) {
		if h.cat, err = catalog.Open(ctx, h.file.Catalog, h.log, true); err != nil {
			return err
		}
		if h.ledger, err = openLedger(ctx, h.file.Ledger, h.log); err != nil {
			return err
		}
		policy, err := sanction.New(h.appealing(h.file.Enforcement))
		if err != nil {
			return err
		}
		h.clock = wallclock.New(wallclock.System(), h.log)
		opt := live.BoardOptions{Catalog: h.cat, Policy: policy, Now: h.clock.Now, Log: h.log}
		if h.ledger != nil {
			opt.Ledger = h.ledger
		}
		h.board = live.NewBoard(opt)
		h.configured.Store(&h.file.Enforcement)
		if err := h.takePolicy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// appealing gives a policy that names no appeal page the one that is served here, so that every notice leads there.
func (h *house) appealing(c sanction.Config) sanction.Config {
	if c.Appeal != "" || h.file.API.Off {
		return c
	}
	origin := h.file.API.Origin
	if host, port, err := net.SplitHostPort(cmp.Or(h.o.API, h.file.API.Listen, defaultAPI)); origin == "" && err == nil && port != "0" {
		ip := net.ParseIP(host)
		if host == "" || ip != nil && ip.IsUnspecified() {
			return c // people come by a name that only api.origin can say
		}
		if ip != nil && ip.IsLoopback() {
			host = "localhost"
		}
		origin = "http://" + net.JoinHostPort(host, port)
		if h.file.API.Certificate != "" {
			origin = "https" + strings.TrimPrefix(origin, "http")
		}
	}
	if origin != "" {
		c.Appeal = origin + "/appeal"
	}
	return c
}

// appealLink is where callers appeal whom a verdict refuses, where their gateway's section names no address: where notices lead. ""
// where only another process knows it.
func (h *house) appealLink(f *config.File) string {
	c := f.Enforcement
	if h.runs(RoleAPI) || h.file.API.Origin != "" {
		c = h.appealing(c)
	}
	if c.Appeal == "" || strings.HasPrefix(c.Appeal, "mailto:") {
		return c.Appeal
	}
	return strings.TrimSuffix(c.Appeal, "/") + "/{reference}"
}

// takePolicy puts the enforcement policy in force that the catalog says is, if it says so.
func (h *house) takePolicy(ctx context.Context) error {
	p, err := h.cat.ActivePolicy(ctx, catalog.PolicyEnforcement)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the enforcement policy: %w", err)
	}
	if _, now := h.board.Policy(); now == p.Revision {
		return nil
	}
	c, err := config.ParseEnforcement([]byte(p.Text))
	if err != nil {
		return fmt.Errorf("read enforcement policy %s of the catalog: %w", p.Revision, err)
	}
	policy, err := sanction.New(h.appealing(c))
	if err != nil {
		return fmt.Errorf("read enforcement policy %s of the catalog: %w", p.Revision, err)
	}
	h.board.SetPolicy(policy, p.Revision)
	h.log.Info("enforcement policy is in force", "revision", p.Revision, "mode", policy.Mode())
	return nil
}

// takeJudge has the detector judge by the policy that the catalog says is in use, if it says so.
func (h *house) takeJudge(ctx context.Context) error {
	if h.det == nil || h.cat == nil {
		return nil
	}
	p, err := h.cat.ActivePolicy(ctx, catalog.PolicyJudge)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && p.ID == h.judging {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the judge's policy: %w", err)
	}
	policy, err := judge.Load([]byte(p.Text))
	if err != nil {
		return fmt.Errorf("read judge's policy %s of the catalog: %w", p.Revision, err)
	}
	h.det.SetPolicy(policy)
	h.judging = p.ID
	h.log.Info("judge's policy is in use from the next look on", "revision", p.Revision)
	return nil
}

// start starts everything but the gateway.
func (h *house) start(ctx context.Context) error {
	h.followDoubts(ctx, h.text)
	if h.board != nil {
		h.work.Go(func() {
			h.board.Publish(ctx, h.stream, func(err error) bool { return errors.Is(err, stream.ErrOlder) })
		})
	}
	if h.runs(RoleDetector) {
		if err := h.detect(ctx); err != nil {
			return err
		}
		if err := h.startArchive(ctx); err != nil {
			return err
		}
		if err := h.tapFiles(ctx); err != nil {
			return err
		}
		if err := h.tapSources(ctx); err != nil {
			return err
		}
	}
	if err := h.startCheck(ctx); err != nil {
		return err
	}
	if h.board != nil {
		h.work.Go(func() { h.followPolicy(ctx) })
	}
	if err := h.startNotify(ctx); err != nil {
		return err
	}
	if err := h.startAPI(ctx); err != nil {
		return err
	}
	if !h.runs(RoleGateway) {
		return h.startAdmin(ctx)
	}
	return nil
}

func (h *house) followPolicy(ctx context.Context) {
	for range h.cat.Changed(ctx) {
		if err := h.takePolicy(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("enforcement policy is not taken; the one before stays in force", "error", err)
		}
		if err := h.takeJudge(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("judge's policy is not taken; the one before stays in use", "error", err)
		}
	}
}

// gateway runs the gateway until ctx ends, or waits for that where none runs here.
func (h *house) gateway(ctx, inner context.Context) error {
	if !h.runs(RoleGateway) {
		return h.wait(ctx)
	}
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-h.failed:
			cancel(err)
		case <-life.Done():
		}
	}()
	pub := h.publisher("gateway")
	var sink Sink = pub
	if h.o.Observed != nil {
		sink = h.o.Observed(pub)
	}
	j := h.joined()
	j.Key, j.Sink, j.Health, j.Metrics, j.Refuse, j.Reloaded, j.Lease = h.key, sink, h.parts, h.metrics(), h.refuse, h.reloaded, h.lease()
	o := h.serving(j)
	o.Ready = func(callers, admin net.Addr) {
		h.mu.Lock()
		h.ready.Callers = callers.String()
		if admin != nil {
			h.ready.Admin = admin.String()
		}
		h.mu.Unlock()
		h.tellReady()
	}
	err := serving.Run(life, o)
	if cause := context.Cause(life); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	end, stop := context.WithTimeout(inner, 10*time.Second)
	defer stop()
	if e := pub.Flush(end); e != nil {
		h.log.Error("the last observations did not reach the stream", "error", e)
	}
	return err
}

// joined is how tables of verdicts come.
func (h *house) joined() *serving.Joined {
	return &serving.Joined{Alive: h.stream.Reachable, Verdicts: func(ctx context.Context, got func(uint64, []byte)) error {
		return h.stream.Watch(ctx, live.VerdictTable, got)
	}}
}

// shared reports whether other processes can be at the same stream.
func (h *house) shared() bool { return h.file.Stream.URL != "" || h.file.Stream.Cluster.Name != "" }

// lease is what gateways share their caps by; nil where the stream is this process's own, and no other gateway can be.
func (h *house) lease() budget.Lease {
	if !h.shared() {
		return nil
	}
	return budget.NewLease(h.stream.Lease(), func(err error) bool { return errors.Is(err, stream.ErrChanged) })
}

func (h *house) publisher(name string) *stream.Publisher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.publishers[name] == nil {
		h.publishers[name] = h.stream.Publisher(name)
	}
	return h.publishers[name]
}

func (h *house) tellReady() {
	if h.o.Ready != nil {
		h.mu.Lock()
		at := h.ready
		h.mu.Unlock()
		h.o.Ready(at)
	}
}

// close closes what open opened, last first.
func (h *house) close() error {
	var errs []error
	if h.ledger != nil {
		errs = append(errs, h.ledger.Close())
	}
	if h.cat != nil {
		errs = append(errs, h.cat.Close())
	}
	if h.stream != nil {
		errs = append(errs, h.stream.Close())
	}
	return errors.Join(errs...)
}
