package check

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are the door's metrics. No label holds anything that a caller can choose.
type meters struct {
	checks     *prometheus.CounterVec
	measures   *prometheus.CounterVec
	unreliable *prometheus.CounterVec
}

func newMeters() *meters {
	return &meters{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_check_answers_total",
			Help: "Checks answered, by form (http, json, grpc) and outcome: pass, told (the asking gateway has a measure to apply), unknown (401), refused (403), limited (429), unavailable (503)."},
			[]string{"form", "outcome"}),
		measures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_check_measures_total",
			Help: "Checks of accounts with a verdict in force, by measure and mode: enforce, or shadow where it is only recorded."}, []string{"measure", "mode"}),
		unreliable: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palladium_check_unreliable_total",
			Help: "Checks answered while verdicts or identities could not be relied on, by how their route fails."}, []string{"failure"}),
	}
}

func (m *meters) count(form string, a *Answer) {
	outcome := "pass"
	switch a.Status {
	case http.StatusUnauthorized:
		outcome = "unknown"
	case http.StatusForbidden:
		outcome = "refused"
	case http.StatusTooManyRequests:
		outcome = "limited"
	case http.StatusServiceUnavailable:
		outcome = "unavailable"
	default:
		if a.Delay > 0 || a.TokensPerSecond > 0 || a.Tokens > 0 || a.Model != "" || a.Withhold {
			outcome = "told"
		}
	}
	m.checks.WithLabelValues(form, outcome).Inc()
}

// Describe makes a Door a prometheus.Collector.
func (d *Door) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(d, ch) }

// Collect gives the current figures.
func (d *Door) Collect(ch chan<- prometheus.Metric) {
	d.meters.checks.Collect(ch)
	d.meters.measures.Collect(ch)
	d.meters.unreliable.Collect(ch)
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_check_holding", "Checks of slowed accounts that are kept back.", nil, nil),
		prometheus.GaugeValue, float64(d.holding.Load()))
}
