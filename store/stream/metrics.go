package stream

import "github.com/prometheus/client_golang/prometheus"

// Describe makes a Stream a prometheus.Collector.
func (s *Stream) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect gives the current figures.
func (s *Stream) Collect(ch chan<- prometheus.Metric) {
	one := func(name, help string, v float64, typ prometheus.ValueType) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_stream_"+name, help, nil, nil), typ, v)
	}
	all, st := s.standing(), s.state.Load()
	healthy := 0.0
	if ok, _ := s.Health(); ok {
		healthy = 1
	}
	one("healthy", "1 while the stream takes observations and none was dropped in the last minute.", healthy, prometheus.GaugeValue)
	one("observations_accepted_total", "Observations that publishers of this process have taken.", float64(all.accepted), prometheus.CounterValue)
	one("observations_acknowledged_total", "Observations of this process that the stream has acknowledged.", float64(all.acknowledged), prometheus.CounterValue)
	one("observations_dropped_total", "Observations that were dropped, as the publisher's memory was full or they were too long.", float64(all.dropped), prometheus.CounterValue)
	one("unacknowledged_bytes", "Bytes of batches that are held until the stream acknowledges them.", float64(all.held), prometheus.GaugeValue)
	one("observations_read_total", "Observations handed to readers in this process.", float64(s.read.Load()), prometheus.CounterValue)
	one("batches_duplicate_total", "Batches that came twice and were handed on once.", float64(s.duplicates.Load()), prometheus.CounterValue)
	damaged, newer := s.unread.Counts()
	one("batches_damaged_total", "Damaged batches that were passed over, once for each reader in this process: look at the disks of the stream's servers.", float64(damaged), prometheus.CounterValue)
	one("batches_newer_total", "Batches of a newer format that were passed over, once for each reader in this process: update this process to the version of those that write them.", float64(newer), prometheus.CounterValue)
	if st.err == nil {
		one("stored_bytes", "Bytes of observations that the stream holds.", float64(st.bytes), prometheus.GaugeValue)
		one("stored_batches", "Batches that the stream holds.", float64(st.messages), prometheus.GaugeValue)
	}
}
