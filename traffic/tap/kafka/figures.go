package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/palladium-guard/palladium"
)

// place is one partition.
type place struct {
	topic     string
	partition int32
}

// standing is how far a partition was read, as far as this member knows.
type standing struct {
	next int64 // offset to be read next
	high int64 // offset after the last record that readers may see
	done int64 // offset that is committed
}

// figures is what the Tap counts.
type figures struct {
	places  map[place]standing // those that are assigned
	records int64
	bytes   int64
	missed  int64 // records that were gone before they were read
	commits int64
	fails   int64
	fail    error // the last one, while it lasts
	since   time.Time
}

func (t *Tap) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	n := t.each(parts, func(p place) { t.figures.places[p] = standing{next: -1, high: -1, done: -1} })
	if n > 0 {
		t.log.Info("kafka partitions are assigned", "partitions", n, "group", t.c.Group)
	}
}

func (t *Tap) revoked(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	if n := t.each(parts, func(p place) { delete(t.figures.places, p) }); n > 0 {
		t.log.Info("kafka partitions go to another member", "partitions", n, "group", t.c.Group)
	}
}

func (t *Tap) each(parts map[string][]int32, f func(place)) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, list := range parts {
		for _, p := range list {
			f(place{topic, p})
			n++
		}
	}
	return n
}

// fetched notes how far a fetch brought a partition.
func (t *Tap) fetched(p *kgo.FetchTopicPartition) {
	at := place{p.Topic, p.Partition}
	t.mu.Lock()
	s, ok := t.figures.places[at]
	if !ok {
		s = standing{next: -1, done: -1}
	}
	// Offsets have holes where transactions ended or a topic was compacted; but what lies before the log's start is gone.
	gone := int64(0)
	if s.next >= 0 && p.LogStartOffset > s.next {
		gone = p.LogStartOffset - s.next
	}
	s.high = max(p.LastStableOffset, 0)
	for _, r := range p.Records {
		s.next = r.Offset + 1
		t.figures.records++
		t.figures.bytes += int64(len(r.Value))
	}
	t.figures.places[at] = s
	t.mu.Unlock()
	if gone > 0 {
		t.missed(at, gone, "records were deleted by the topic's retention before they were read: read faster, or keep them longer")
	}
}

func (t *Tap) missed(at place, n int64, why string) {
	t.mu.Lock()
	t.figures.missed += n
	t.mu.Unlock()
	t.log.Error(why, "topic", at.topic, "partition", at.partition, "records", n)
}

func (t *Tap) committed(last []*kgo.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures.commits++
	t.figures.fail = nil
	for _, r := range last {
		at := place{r.Topic, r.Partition}
		if s, ok := t.figures.places[at]; ok {
			s.done = r.Offset + 1
			t.figures.places[at] = s
		}
	}
}

// failed counts and keeps an error, and logs it when it is the first of a row.
func (t *Tap) failed(what string, err error) {
	t.mu.Lock()
	first := t.figures.fail == nil
	t.figures.fails++
	t.figures.fail = err
	if first {
		t.figures.since = time.Now()
	}
	t.mu.Unlock()
	if first {
		t.log.Error(what, "error", err)
	}
}

// reached takes the answer of brokers that had no records.
func (t *Tap) reached(err error) {
	if err != nil {
		t.failed("no kafka broker answers; trying again", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures.fail = nil
}

const tellEvery = 10 * time.Second

// rejected logs a record that is skipped, one line for all of some seconds.
func (t *Tap) rejected(r palladium.Reject) {
	t.mu.Lock()
	t.untold++
	n, now := t.untold, time.Now()
	due := now.Sub(t.told) >= tellEvery
	if due {
		t.told, t.untold = now, 0
	}
	t.mu.Unlock()
	if due {
		t.log.Warn("records are skipped", "records", n, "source", r.File, "offset", r.Line, "reason", r.Reason)
	}
}

// Health says whether records are read and kept, and how far behind the tap is.
func (t *Tap) Health() (ok bool, says string) {
	total := t.in.Total()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.figures
	if f.fail != nil {
		return false, fmt.Sprintf("failing since %s: %v", f.since.UTC().Format(time.RFC3339), f.fail)
	}
	behind := int64(0)
	for _, s := range f.places {
		behind += s.behind()
	}
	says = fmt.Sprintf("%d partitions, %d exchanges taken in, %d records behind", len(f.places), total.Exchanges, behind)
	if f.missed > 0 {
		says += fmt.Sprintf(", %d missed", f.missed)
	}
	return true, says
}

func (s standing) behind() int64 {
	if s.next < 0 {
		return 0
	}
	return max(0, s.high-s.next)
}

// Describe makes a Tap a prometheus.Collector.
func (t *Tap) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(t, ch) }

// Collect gives the current figures.
func (t *Tap) Collect(ch chan<- prometheus.Metric) {
	put := func(typ prometheus.ValueType, name, help string, v float64, labels ...string) {
		var names []string
		if len(labels) > 0 {
			names = []string{"topic", "partition"}
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_kafka_"+name, help, names, nil), typ, v, labels...)
	}
	total := t.in.Total()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.figures
	c, g := prometheus.CounterValue, prometheus.GaugeValue
	put(c, "records_total", "Records that were fetched.", float64(f.records))
	put(c, "record_bytes_total", "Bytes of the values of fetched records.", float64(f.bytes))
	put(c, "exchanges_total", "Exchanges that the sink has kept for good.", float64(total.Exchanges))
	put(c, "accounts_total", "Account records that the sink has kept for good.", float64(total.Accounts))
	put(c, "duplicates_total", "Exchanges that came again and were left out.", float64(total.Duplicates))
	put(c, "rejected_total", "Records, or parts of one, that hold nothing usable.", float64(total.Rejected))
	put(c, "missed_total", "Records that were gone from the brokers before they were read.", float64(f.missed))
	put(c, "commits_total", "Positions that were committed.", float64(f.commits))
	put(c, "failures_total", "Failed tries to read, to hand over or to commit.", float64(f.fails))
	for p, s := range f.places {
		put(g, "behind_records", "Records of an assigned partition that are not read yet.", float64(s.behind()), p.topic, strconv.Itoa(int(p.partition)))
	}
}

// logger gives what the client warns of to the log. It never says what is in records.
type logger struct{ to *slog.Logger }

func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelWarn
	if level > kgo.LogLevelWarn {
		at = slog.LevelDebug
	}
	l.to.Log(context.Background(), at, "kafka client: "+msg, keyvals...)
}
