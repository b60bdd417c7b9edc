package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/notify"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/store/catalog"
)

// How often parts and the ledger are looked at to be told of, and how many looks in a row must agree.
const (
	lookEvery   = 10 * time.Second
	looks       = 3
	verifyEvery = time.Hour
)

// startNotify tells sinks of what happens. It runs in each process that has a catalog, without a sink too: one may be added.
func (h *house) startNotify(ctx context.Context) error {
	if h.cat == nil {
		return nil
	}
	n, err := notify.Open(notify.Options{Config: h.file.Notify, Catalog: h.cat, Origin: h.file.API.Origin, Site: h.file.API.Name, Log: h.log})
	if err != nil {
		return err
	}
	h.notify = n
	h.work.Go(func() { n.Run(ctx) })
	h.work.Go(func() { h.watchParts(ctx) })
	if h.ledger != nil {
		h.work.Go(func() { h.watchLedger(ctx) })
	}
	return nil
}

// told are the figures of each sink that is told now, for Prometheus.
type told struct {
	n                                    *notify.Notifier
	sent, retried, failed, dead, waiting *prometheus.Desc
}

func (h *house) toldMetrics() prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("palladium_notify_"+name, help, []string{"sink"}, nil)
	}
	return &told{
		h.notify, desc("sent_total", "Notifications that a sink has taken from this process."), desc("retried_total", "Attempts after the first of a notification."),
		desc("failed_total", "Attempts that failed."), desc("given_up_total", "Notifications that were given up."),
		desc("waiting", "Notifications on their way to a sink, of all processes; they wait in the catalog."),
	}
}

// Describe names the figures.
func (t *told) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.sent, t.retried, t.failed, t.dead, t.waiting} {
		to <- d
	}
}

// Collect reads the figures. Where the catalog does not answer, it is left out how many wait.
func (t *told) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, f := range t.n.Figures() {
		for d, v := range map[*prometheus.Desc]int64{t.sent: f.Sent, t.retried: f.Retried, t.failed: f.Failed, t.dead: f.Dead} {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), f.Sink)
		}
		if n, err := t.n.Waiting(ctx, f.Sink); err == nil {
			to <- prometheus.MustNewConstMetric(t.waiting, prometheus.GaugeValue, float64(n), f.Sink)
		}
	}
}

// takeNotify tells other sinks, where the configuration names others or their files hold something else. It was checked by refuse.
func (h *house) takeNotify(f *config.File) {
	if h.notify == nil {
		return
	}
	if err := h.notify.Take(f.Notify); err != nil {
		h.log.Error("the sinks to be told are not taken; those before stay", "error", err)
		return
	}
	h.log.Info("sinks to be told are in force", "sinks", h.notify.Names())
}

// watchParts writes an event when a part begins to fail or works again.
func (h *house) watchParts(ctx context.Context) {
	host, err := os.Hostname()
	if err != nil {
		host = "palladium"
	}
	streak, bad := map[string]int{}, map[string]bool{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range h.parts() {
			if bad[p.Name] != !p.OK {
				bad[p.Name], streak[p.Name] = !p.OK, 0
			}
			streak[p.Name]++
			if streak[p.Name] != looks {
				continue
			}
			kind := "health.failing"
			if p.OK {
				kind = "health.restored"
			}
			h.tellChange(ctx, kind, "part:"+p.Name+"@"+host, p.Says)
		}
	}
}

// watchLedger verifies the log's files from time to time, and writes an event when they no longer verify, or do again.
func (h *house) watchLedger(ctx context.Context) {
	for wait := time.Minute; ; wait = verifyEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		public, err := os.ReadFile(h.file.Ledger.Public)
		if err == nil {
			var trust ledger.Trust
			if trust, err = ledger.ParseTrust(strings.TrimSpace(string(public)), nil); err == nil {
				_, err = ledger.Verify(ctx, os.DirFS(h.file.Ledger.Dir), trust, nil)
			}
		}
		if ctx.Err() != nil {
			return
		}
		kind, says := "ledger.restored", ""
		if err != nil {
			kind, says = "ledger.failed", err.Error()
			h.log.Error("the ledger does not verify", "error", err)
		}
		h.tellChange(ctx, kind, "ledger:"+ledgerOrigin, says)
	}
}

// tellChange appends an event unless the last one of its subject says the same: so nothing is told again after a restart. Of what
// was never told to fail, it is not told that it works. Where the catalog takes no event, sinks are told past it.
func (h *house) tellChange(ctx context.Context, kind, subject, says string) {
	q := catalog.EventQuery{Subject: subject}
	q.Limit = 1
	good := kind == "health.restored" || kind == "ledger.restored"
	last, _, err := h.cat.ListEvents(ctx, q)
	if err == nil && (len(last) == 0 && good || len(last) > 0 && last[0].Kind == kind) {
		return
	}
	data, e := json.Marshal(map[string]string{"says": says})
	event := &catalog.Event{At: time.Now().UTC(), Actor: "system", Kind: kind, Subject: subject, Data: data, LedgerIndex: -1}
	if err == nil {
		err = h.cat.Append(ctx, event)
	}
	if err = errors.Join(err, e); err == nil || ctx.Err() != nil {
		return
	}
	h.log.Warn("a change of health cannot be kept; sinks are told past the catalog", "kind", kind, "subject", subject, "error", err)
	if m, ok := notify.FromEvent(event, h.file.API.Origin); ok && !good {
		h.notify.Say(ctx, m)
	}
}

// TryNotify sends a sample to one sink of a configuration, and returns what came back.
func TryNotify(ctx context.Context, path, name string) (string, error) {
	h := &house{o: Options{Config: path, State: "palladium-state"}}
	f, err := h.read()
	if err != nil {
		return "", err
	}
	n, err := notify.Open(notify.Options{Config: f.Notify, Origin: f.API.Origin, Site: f.API.Name})
	if err != nil {
		return "", err
	}
	return n.Try(ctx, name)
}

// ListNotifications writes what is on its way to sinks, or with dead what was given up, latest first, up to 200.
func ListNotifications(ctx context.Context, w io.Writer, path, state string, dead bool) error {
	h := &house{o: Options{Config: path, State: cmp.Or(state, "palladium-state")}}
	f, err := h.read()
	if err != nil {
		return err
	}
	cat, err := catalog.Open(ctx, f.Catalog, nil, false)
	if err != nil {
		return err
	}
	defer cat.Close()
	q := catalog.DeliveryQuery{Dead: dead, Open: !dead}
	q.Limit = 200
	all, _, err := cat.ListDeliveries(ctx, q)
	if err != nil {
		return fmt.Errorf("list notifications: %w", err)
	}
	for _, d := range all {
		if _, err := fmt.Fprintf(w, "%s  sink %s  event %s  %d attempts  next %s  %s\n", d.ID, d.Sink, d.Event, d.Attempts, d.Next.UTC().Format(time.RFC3339), d.LastError); err != nil {
			return err
		}
	}
	return nil
}
