package serve

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/store/stream"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/gateway/admin"
)

// source lets the detector read the stream.
type source struct{ *stream.Stream }

var _ live.Source = source{}

// parts are what health tells beside the gateway's own.
func (h *house) parts() []gateway.Part {
	ok, says := h.stream.Health()
	out := []gateway.Part{{Name: "stream", OK: ok, Says: says}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if h.cat != nil {
		ok, says := h.cat.Health(ctx)
		right, shows := h.clock.Health()
		out = append(out, gateway.Part{Name: "catalog", OK: ok, Says: says}, gateway.Part{Name: "clock", OK: right, Says: shows})
	}
	if h.ledger != nil {
		out = append(out, h.ledger.part())
	}
	if h.notify != nil && len(h.notify.Names()) > 0 {
		ok, says := h.notify.Health(ctx)
		out = append(out, gateway.Part{Name: "notify", OK: ok, Says: says})
	}
	if h.det != nil {
		ok, says := h.stream.Unread()
		out = append(out, detectorPart(h.det.Figures(), h.leads(), h.file.Detector.Late()), gateway.Part{Name: "batches", OK: ok, Says: says})
	}
	for i := range out {
		out[i].Needed = h.needed(out[i].Name)
	}
	return append(out, h.beganParts()...)
}

// detectorPart says how the detector is. It is not well while its state cannot be kept, or while observations wait to be taken
// in for longer than late.
func detectorPart(f live.Figures, leads bool, late time.Duration) gateway.Part {
	p := gateway.Part{Name: "detector", OK: f.Err == nil, Says: fmt.Sprintf("%d observations taken in", f.Taken)}
	switch {
	case f.Err != nil:
		p.Says = f.Err.Error()
	case leads:
		p.Says += "; this one decides"
	default:
		p.Says += "; stands by"
	}
	if f.Delay > late {
		p.OK = false
		p.Says += fmt.Sprintf("; observations have waited for %v to be taken in, and detector.max_delay is %v: the last look took %v, the last snapshot %v",
			f.Delay.Round(time.Second), late, f.Look.Round(time.Millisecond), f.Snapshot.Round(time.Millisecond))
	}
	return p
}

// metrics are the figures beside the gateway's own.
func (h *house) metrics() []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "palladium", Name: name, Help: help}, f)
	}
	counter := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "palladium", Name: name, Help: help}, f)
	}
	bit := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	out := []prometheus.Collector{h.stream}
	if h.det != nil {
		out = append(out,
			counter("detector_observations_total", "Observations that the detector has taken in since its state was begun.", func() float64 { return float64(h.det.Figures().Taken) }),
			counter("detector_duplicates_total", "Observations that the detector left out since it knew them.", func() float64 { return float64(h.det.Figures().Twice) }),
			counter("detector_gaps_total", "Times that observations were lost before the detector had them, and it went on with what the stream still held.", func() float64 { return float64(h.det.Figures().Gaps) }),
			gauge("detector_delay_seconds", "Age of the oldest observation in the stream that the detector has not taken in; 0 while none waits.", func() float64 { return h.det.Figures().Delay.Seconds() }),
			gauge("detector_look_seconds", "Time that the last look at the accounts took, with the report of it. Nothing is taken in meanwhile.", func() float64 { return h.det.Figures().Look.Seconds() }),
			gauge("detector_snapshot_seconds", "Time that the last snapshot of the detector's state took. Nothing is taken in meanwhile.", func() float64 { return h.det.Figures().Snapshot.Seconds() }),
			counter("detector_stopped_seconds_total", "Time in which the detector took nothing in, since it looked or kept its state.", func() float64 { return h.det.Figures().Stopped.Seconds() }),
			gauge("detector_leading", "1 while this detector decides.", func() float64 { return bit(h.leads()) }),
			gauge("detector_snapshot_healthy", "1 while the detector's state can be kept.", func() float64 { return bit(h.det.Figures().Err == nil) }),
		)
		for _, stage := range []palladium.Stage{palladium.StageAct, palladium.StageReview, palladium.StageWatch} {
			out = append(out, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: "palladium", Name: "detector_campaigns", Help: "Campaigns that the detector lists now.", ConstLabels: prometheus.Labels{"stage": string(stage)},
			}, func() float64 { return float64(campaignsAt(h.det.Standing(), stage)) }))
		}
	}
	for _, b := range h.began {
		out = append(out, b.part)
	}
	if h.board != nil {
		out = append(out,
			gauge("verdicts_version", "Version of the table of verdicts that was published last.", func() float64 { v, _ := h.board.Published(); return float64(v) }),
			gauge("clock_ahead_seconds", "Time by which the machine's clock has jumped ahead and is not believed yet; 0 while it is believed.", func() float64 { return h.clock.Ahead().Seconds() }),
			gauge("verdicts_publish_seconds", "Time that publishing the last table of verdicts took.", func() float64 { _, t := h.board.Published(); return t.Seconds() }),
		)
	}
	if h.notify != nil {
		out = append(out, h.toldMetrics())
	}
	return append(out, h.figures...)
}

func campaignsAt(r *palladium.Report, stage palladium.Stage) (n int) {
	if r == nil {
		return 0
	}
	for i := range r.Campaigns {
		if r.Campaigns[i].Stage == stage {
			n++
		}
	}
	return n
}

// startAdmin serves health, metrics and profiles where no gateway does.
func (h *house) startAdmin(ctx context.Context) error {
	at := cmp.Or(h.o.Admin, h.file.Gateway.Admin.Listen)
	if at == "" {
		return nil
	}
	token, err := adminToken(h.file.Gateway.Admin.TokenFile)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	for _, c := range append(h.metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return fmt.Errorf("listen for the operator: %w", err)
	}
	srv := admin.New(admin.Options{Token: token, Health: h.parts, Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), Reload: h.reload})
	h.serveHTTP(ctx, srv, l)
	h.mu.Lock()
	h.ready.Admin = l.Addr().String()
	h.mu.Unlock()
	return nil
}

// answerTime is how long requests in hand are given when a process ends.
const answerTime = 5 * time.Second

// serveHTTP serves until ctx ends, and then what is in hand to its end: what was begun to be decided is not left half done.
func (h *house) serveHTTP(ctx context.Context, srv *http.Server, l net.Listener) {
	h.work.Go(func() {
		done := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(done)
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
			defer cancel()
			if srv.Shutdown(end) != nil {
				_ = srv.Close()
			}
		})
		err := srv.Serve(l)
		if !stop() {
			<-done
		} else if err != nil {
			h.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
}
