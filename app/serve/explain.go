package serve

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"time"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/budget"
	"github.com/palladium-guard/palladium/traffic/gateway/pool"
	"github.com/palladium-guard/palladium/traffic/judge"
	"github.com/palladium-guard/palladium/traffic/restrict"
)

// Explain reads and checks the configuration that Run would use, and writes every value in force with its source: a line of the
// file, the command line, the state directory, or a default. Secrets are masked. What is empty is left out unless all is set. It
// opens nothing that the configuration names but the judge's policy, and looks at certificates and files of secrets: doubt is told of what
// will not do there, which is no error, since the file may be meant for another machine.
func Explain(w io.Writer, o Options, all bool, doubt func(string)) error {
	if len(o.Roles) == 0 {
		o.Roles = Roles()
	}
	o.State = cmp.Or(o.State, "palladium-state")
	f := &config.File{}
	var data []byte
	if o.Config != "" {
		var err error
		if data, err = os.ReadFile(o.Config); err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		if f, err = config.Parse(data); err != nil {
			return fmt.Errorf("read %s: %w", o.Config, err)
		}
	}
	trail := config.NewTrail(data)
	trail.Note(f, "")
	commandLine(f, &o, trail)
	h := &house{o: o, file: f, text: data}
	h.o.Log = io.Discard
	h.derive(trail)
	Fill(f, o.State)
	trail.Note(f, "in the state directory")
	_ = fillAll(f) // what is wrong with the stream, check says too
	trail.Note(f, "default")
	if err := h.check(f); err != nil {
		return h.located(err)
	}
	for _, d := range h.doubts(f, trail, time.Now()) {
		doubt(d)
	}
	return trail.Write(w, f, all)
}

// derive puts in what follows from other values, and the defaults that Fill puts in beside places in the state directory.
func (h *house) derive(trail *config.Trail) {
	f := h.file
	f.Check.Account.Header = textproto.CanonicalMIMEHeaderKey(f.Check.Account.Header)
	trail.Note(f, "") // as it is written, but for capitals
	if h.shared() {
		fillArchive(f, h.o.State)
		trail.Note(f, "as the stream is shared")
	}
	at := h.appealLink(f)
	f.Gateway.Appeal = cmp.Or(f.Gateway.Appeal, at)
	if f.Check.HTTP != "" || f.Check.GRPC != "" {
		f.Check.Appeal = cmp.Or(f.Check.Appeal, at)
	}
	trail.Note(f, "where notices lead")
	f.Catalog.Fill()
	f.Taps.Fill()
	f.Check.Fill()
	trail.Note(f, "default")
}

// commandLine puts what the command line says over the file.
func commandLine(f *config.File, o *Options, trail *config.Trail) {
	if len(o.Upstreams) > 0 {
		f.Gateway.Upstreams = nil
		for _, u := range o.Upstreams {
			f.Gateway.Upstreams = append(f.Gateway.Upstreams, pool.Config{URL: u})
		}
		trail.Note(f, "--upstream")
	}
	for _, x := range []struct {
		to       *string
		by, flag string
	}{
		{&f.Gateway.Listen, o.Listen, "--listen"}, {&f.Gateway.Admin.Listen, o.Admin, "--admin"}, {&f.API.Listen, o.API, "--api"},
		{&f.Credentials.Keys, o.Keys, "--keys"}, {&f.Credentials.Anonymous.Plan, o.Anonymous, "--anonymous"},
	} {
		if x.by != "" {
			*x.to = x.by
			f.Credentials.Anonymous.Allow = f.Credentials.Anonymous.Allow || x.flag == "--anonymous"
			trail.Note(f, x.flag)
		}
	}
}

// fillAll puts in the defaults that each part fills in for itself.
func fillAll(f *config.File) (err error) {
	f.Gateway.Fill()
	f.Archive.Fill()
	if filled, wrong := f.Stream.Filled(); wrong == nil {
		f.Stream = filled
	} else {
		err = wrong
	}
	f.Enforcement = f.Enforcement.Filled()
	f.Detector.Every = cmp.Or(f.Detector.Every, time.Hour)
	f.Detector.SaveEvery = cmp.Or(f.Detector.SaveEvery, time.Minute)
	f.Detector.MaxDelay = f.Detector.Late()
	f.API.Listen = cmp.Or(f.API.Listen, defaultAPI)
	f.API.Review = cmp.Or(f.API.Review, 7*24*time.Hour)
	f.API.Name = cmp.Or(f.API.Name, "Palladium")
	f.SignIn.Session = cmp.Or(f.SignIn.Session, 12*time.Hour)
	f.SignIn.Idle = cmp.Or(f.SignIn.Idle, time.Hour)
	if f.Budget.Plans == nil {
		f.Budget.Plans = map[string]budget.Plan{}
	}
	f.Budget.Plans[budget.Default] = f.Budget.Plans[budget.Default].Filled()
	return err
}

// compiles checks what parts check only when they are opened.
func (h *house) compiles(f *config.File) error {
	_, rules := restrict.New(f.Restrict)
	_, plans := budget.NewBook(f.Budget)
	if plans != nil {
		plans = fmt.Errorf("budget: %w", plans)
	}
	errs := []error{rules, plans}
	if f.Detector.Policy != "" && (h.runs(RoleDetector) || h.runs(RoleAPI)) {
		text, err := os.ReadFile(f.Detector.Policy)
		if err == nil {
			_, err = judge.Load(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("detector.policy: %w", err))
		}
	}
	if err := tlsfile.CheckPair(f.API.Certificate, f.API.Key); err != nil {
		errs = append(errs, fmt.Errorf("api: %w", err))
	}
	return errors.Join(errs...)
}
