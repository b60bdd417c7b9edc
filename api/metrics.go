package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the API does. No label says who asks, or what about.
type metrics struct {
	requests *prometheus.CounterVec   // by operation and status
	seconds  *prometheus.HistogramVec // by operation; live streams are not among them
	streams  prometheus.GaugeFunc
	ledger   prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	name := func(n, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "palladium", Subsystem: "api", Name: n, Help: help}
	}
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts(name("requests_total", "Requests to the operator's API, by operation and status.")), []string{"operation", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "palladium", Subsystem: "api", Name: "request_seconds",
			Help: "Time from a request to the operator's API to the end of its answer, by operation.", Buckets: []float64{.005, .02, .05, .1, .3, 1, 3, 10, 30}}, []string{"operation"}),
		streams: prometheus.NewGaugeFunc(prometheus.GaugeOpts(name("streams", "Live streams of consoles that are open.")), func() float64 {
			s.live.mu.Lock()
			defer s.live.mu.Unlock()
			return float64(s.live.all)
		}),
		ledger: prometheus.NewCounter(prometheus.CounterOpts(name("ledger_refusals_total", "Requests that were refused since the ledger took no statement."))),
	}
}

// Collectors are the API's metrics, for one registry.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.seconds, s.metrics.streams, s.metrics.ledger}
}

// counted counts the answers of one operation.
func (m *metrics) counted(op string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			m.requests.WithLabelValues(op, strconv.Itoa(seen.status)).Inc()
			if op != "streamEvents" {
				m.seconds.WithLabelValues(op).Observe(time.Since(begun).Seconds())
			}
		}()
		next(seen, r)
	}
}

// watched remembers the status of an answer.
type watched struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader remembers the first status.
func (w *watched) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap leads http.ResponseController to what is below.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
