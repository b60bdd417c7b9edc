package otlp

import "github.com/prometheus/client_golang/prometheus"

// Describe makes a Tap a prometheus.Collector.
func (t *Tap) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(t, ch) }

// Collect gives the current figures.
func (t *Tap) Collect(ch chan<- prometheus.Metric) {
	put := func(typ prometheus.ValueType, name, help string, v int64, label ...string) {
		var names, values []string
		if len(label) == 2 {
			names, values = label[:1], label[1:]
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_otlp_"+name, help, names, nil), typ, float64(v), values...)
	}
	total, c := t.in.Total(), prometheus.CounterValue
	const requests = "Export requests whose observations the sink has kept for good, by transport."
	put(c, "requests_total", requests, t.requests[overGRPC].Load(), "transport", "grpc")
	put(c, "requests_total", requests, t.requests[overHTTP].Load(), "transport", "http")
	for i := range causes {
		const refused = "Export requests that got no success, by cause: identity, form, size, busy (too many at once), or sink (observations not taken or not kept in time)."
		put(c, "refused_total", refused, t.refused[i].Load(), "cause", i.String())
	}
	put(c, "request_bytes_total", "Bytes of the export requests taken in, in their JSON form.", t.bytes.Load())
	put(c, "exchanges_total", "Exchanges that the sink has kept for good.", total.Exchanges)
	put(c, "duplicates_total", "Exchanges that came again and were left out.", total.Duplicates)
	put(c, "rejected_total", "Spans and log records of exchanges that hold nothing usable.", total.Rejected)
	put(prometheus.GaugeValue, "requests_in_hand", "Export requests that are being taken in.", int64(len(t.slots)))
}
