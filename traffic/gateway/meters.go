package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium/traffic/restrict"
)

// meters are the gateway's metrics. No label holds anything that a caller can choose.
type meters struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	first    *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	retried  *prometheus.CounterVec

	changes    *prometheus.CounterVec
	measures   *prometheus.CounterVec
	shadow     *prometheus.CounterVec
	unreliable *prometheus.CounterVec
}

// routeMeters are the metrics of one route, looked up once.
type routeMeters struct {
	requests [6]prometheus.Counter // by class of status; 0: aborted
	seconds  prometheus.Observer
	first    prometheus.Observer
	bytes    prometheus.Counter
	retried  prometheus.Counter
}

func newMeters() *meters {
	times := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	return &meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_requests_total",
			Help: "Requests served, by route and class of status; class aborted: the answer was not whole."}, []string{"route", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "palladium_gateway_request_duration_seconds",
			Help: "Time from a request's headers to the end of its answer, in seconds.", Buckets: times}, []string{"route"}),
		first: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "palladium_gateway_first_byte_seconds",
			Help: "Time from a request's headers to the first byte of the answer's body, in seconds.", Buckets: times}, []string{"route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_answer_bytes_total",
			Help: "Bytes of answers passed to callers."}, []string{"route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_refusals_total",
			Help: "Requests refused or ended by the gateway, by reason code."}, []string{"reason"}),
		retried: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_upstream_retries_total",
			Help: "Attempts on an upstream to which no connection could be made, so that another was tried."}, []string{"route"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_policy_changes_total",
			Help: "Request fields that the request policy took out or lowered, by field and what was done."}, []string{"field", "verb"}),
		measures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_verdict_measures_total",
			Help: "Requests to which a verdict was applied, by measure."}, []string{"measure"}),
		shadow: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_shadow_measures_total",
			Help: "Requests to which a verdict in shadow mode would have been applied, by measure."}, []string{"measure"}),
		unreliable: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_gateway_verdicts_unreliable_total",
			Help: "Requests served or refused without a reliable verdict table, by how their route fails."}, []string{"failure"}),
	}
}

func (m *meters) route(name string) *routeMeters {
	r := &routeMeters{seconds: m.seconds.WithLabelValues(name), first: m.first.WithLabelValues(name),
		bytes: m.bytes.WithLabelValues(name), retried: m.retried.WithLabelValues(name)}
	for i := range r.requests {
		class := "aborted"
		if i > 0 {
			class = strconv.Itoa(i) + "xx"
		}
		r.requests[i] = m.requests.WithLabelValues(name, class)
	}
	return r
}

// changed counts something that the request policy did.
func (m *meters) changed(c *restrict.Change) {
	m.changes.WithLabelValues(c.Field, c.Action.Verb.String()).Inc()
}

// finished counts an exchange.
func (m *meters) finished(x *exchange) {
	if x.reason != "" {
		m.refusals.WithLabelValues(x.reason).Inc()
	}
	if x.route == nil {
		return
	}
	r := x.route.meters
	class := x.status / 100
	if class < 0 || class > 5 || x.reason == "upstream.cut" || x.reason == "caller.left" {
		class = 0
	}
	r.requests[class].Inc()
	r.seconds.Observe(time.Since(x.start).Seconds())
	if !x.firstByte.IsZero() {
		r.first.Observe(x.firstByte.Sub(x.start).Seconds())
	}
	r.bytes.Add(float64(x.out))
}

// Describe and Collect make a Gateway a prometheus.Collector.
func (g *Gateway) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(g, ch) }

// Collect gives the current figures.
func (g *Gateway) Collect(ch chan<- prometheus.Metric) {
	m := g.meters
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.first, m.bytes, m.refusals, m.retried, m.changes, m.measures, m.shadow, m.unreliable} {
		c.Collect(ch)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		var names []string
		if len(labels) > 0 {
			names = []string{"upstream"}
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_gateway_"+name, help, names, nil), prometheus.GaugeValue, v, labels...)
	}
	gauge("in_flight", "Exchanges being served.", float64(g.inFlight.Load()))
	gauge("held_bytes", "Bytes of request bodies held in memory beyond the first 32 KiB of each.", float64(g.held.Load()))
	now := time.Now().UnixNano()
	for _, u := range g.current.Load().pool.All() {
		healthy := 0.0
		if u.Well(now) {
			healthy = 1
		}
		gauge("upstream_healthy", "1 when the upstream is in use, 0 when it is left out.", healthy, u.Name())
		gauge("upstream_in_flight", "Exchanges that the upstream is answering.", float64(u.Open()), u.Name())
	}
}
