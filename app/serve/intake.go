package serve

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/following"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/store/watch"
	dialect "github.com/palladium-guard/palladium/traffic/dialect/otlp"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/measure"
	"github.com/palladium-guard/palladium/traffic/tap"
	"github.com/palladium-guard/palladium/traffic/tap/kafka"
	"github.com/palladium-guard/palladium/traffic/tap/otlp"
)

// running is a part that runs beside the others, with how it is.
type running interface {
	prometheus.Collector
	Run(ctx context.Context) error
	Health() (ok bool, says string)
}

// keeps has files that are read again when they change.
type keeps interface {
	Files() []string
	Reload() error
}

// began is a part that was started.
type began struct {
	name string
	part running
}

// launch runs a part until ctx ends. What its files hold is read again when they change.
func (h *house) launch(ctx context.Context, name string, part running) {
	h.began = append(h.began, began{name, part})
	h.work.Go(func() {
		if err := part.Run(ctx); err != nil && ctx.Err() == nil {
			h.failed <- err
		}
	})
	if k, ok := part.(keeps); ok {
		h.follow(ctx, name, k)
	}
}

// follow reads the files of a part again when they change.
func (h *house) follow(ctx context.Context, name string, k keeps) {
	for _, file := range k.Files() {
		watch.File(ctx, file, 0, func() {
			if err := k.Reload(); err != nil { // between the two files of a pair this is usual
				h.log.Warn("changed files are not taken; what was read before stays in use", "part", name, "error", err)
				return
			}
			h.log.Info("changed files were read again", "part", name)
		})
	}
	if err := k.Reload(); err != nil { // what changed before the watch began
		h.log.Warn("changed files are not taken; what was read before stays in use", "part", name, "error", err)
	}
}

// beganParts are the parts of health of what was launched.
func (h *house) beganParts() (out []gateway.Part) {
	for _, b := range h.began {
		ok, says := b.part.Health()
		out = append(out, gateway.Part{Name: b.name, OK: ok, Says: says})
	}
	return out
}

// tapFiles follows files. What they hold reaches the stream, and the catalog where it tells of accounts.
func (h *house) tapFiles(ctx context.Context) error {
	if len(h.file.Taps.Files) == 0 {
		return nil
	}
	o := following.Options{Paths: h.file.Taps.Files, Place: filepath.Join(h.o.State, "taps.json"), Key: h.key, Sink: h.publisher("files"), Log: h.log}
	if h.cat != nil {
		o.Accounts = h.cat.PutAccounts
	}
	f, err := following.Open(o)
	if err != nil {
		return err
	}
	h.launch(ctx, "files", f)
	return nil
}

// tapSources starts the taps of live sources. What they read reaches the stream, and the catalog where it tells of accounts.
func (h *house) tapSources(ctx context.Context) error {
	t := &h.file.Taps
	if len(t.Kafka.Brokers) == 0 && t.OTLP.GRPC == "" && t.OTLP.HTTP == "" {
		return nil
	}
	cues, err := app.Cues()
	if err != nil {
		return err
	}
	into := func(name string) tap.Options {
		return tap.Options{
			Formats: app.Formats(), Sink: accountSink{h.publisher(name), h.cat},
			Measure: func() func(*palladium.Exchange, *palladium.Observation) { return measure.New(h.key, cues).Measure },
		}
	}
	if len(t.Kafka.Brokers) > 0 {
		o := into("kafka")
		o.Formats = append(o.Formats, dialect.Spans(), dialect.Logs())
		k, err := kafka.Open(t.Kafka, o, h.log)
		if err != nil {
			return err
		}
		h.launch(ctx, "kafka", k)
	}
	if t.OTLP.GRPC != "" || t.OTLP.HTTP != "" {
		o := into("otlp")
		o.Dialect = dialect.Format().Name
		r, err := otlp.Open(t.OTLP, o, h.log)
		if err != nil {
			return err
		}
		h.launch(ctx, "otlp", r)
		g, w := r.Addresses()
		h.log.Info("receiving OTLP", "grpc", said(g), "http", said(w))
	}
	return nil
}

// said is an address for the log.
func said(a fmt.Stringer) string {
	if a == nil {
		return "off"
	}
	return a.String()
}

// accountSink is a tap's sink: the stream, and the catalog for what is known of accounts.
type accountSink struct {
	*stream.Publisher
	catalog *catalog.Store
}

// DescribeWait takes in what is known of an account.
func (s accountSink) DescribeWait(ctx context.Context, a *palladium.Account) error {
	if s.catalog != nil {
		if err := s.catalog.PutAccounts(ctx, []catalog.Account{catalog.Describe(a)}); err != nil {
			return fmt.Errorf("keep what is known of an account: %w", err)
		}
	}
	return s.Publisher.DescribeWait(ctx, a)
}
