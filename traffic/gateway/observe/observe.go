// Package observe turns the exchanges that a gateway has served into observations, off their path and within bounded
// memory. Text is let go of as soon as it is measured.
package observe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// Sink takes observations. The observation is the Observer's again when Observe returns; calls come one at a time.
type Sink interface {
	Observe(*palladium.Observation)
}

// Namer is a Sink that also takes the names behind model hashes: each before the first observation of a run of that model.
type Namer interface {
	NameModel(hash uint64, name string) // what it keeps of name it copies
}

// Observer is a gateway.Observer that turns finished exchanges into observations, off the path: what gathers in a few milliseconds is measured
// together, by a goroutine of a timer. What it cannot take is dropped and counted: it never delays an exchange.
type Observer struct {
	length  int   // exchanges that may wait
	most    int64 // bytes of text that may wait
	sink    Sink
	from    *origin
	namer   Namer        // sink, if it is one
	named   uint64       // hash of the model named last; guarded by work
	waiting atomic.Int64 // bytes of text

	mu     sync.Mutex
	queue  []*gateway.Finished
	spare  []*gateway.Finished
	armed  bool
	closed bool
	timer  *time.Timer

	work  sync.Mutex // held while measuring; guards what follows
	meter *measure.Meter
	in    reading

	measured, unreadable  atomic.Int64
	dropQueue, dropMemory atomic.Int64
}

// gather is how long exchanges may gather before they are measured.
const gather = 5 * time.Millisecond

// New returns an Observer within the bounds of c, a filled section. It measures with m, which is its own from here on. sink
// may be nil. Errors name the key of c at fault.
func New(c gateway.Observe, m *measure.Meter, sink Sink) (*Observer, error) {
	from, err := newOrigin(c)
	if err != nil {
		return nil, err
	}
	o := &Observer{length: c.Queue, most: int64(c.Memory), meter: m, sink: sink, from: from}
	o.namer, _ = sink.(Namer)
	o.timer = time.AfterFunc(time.Hour, o.run)
	o.timer.Stop()
	return o, nil
}

// size is how many bytes of text f holds.
func size(f *gateway.Finished) int64 {
	n := len(f.Body)
	if f.Scan != nil {
		n += cap(f.Scan.Text)
	}
	return int64(n)
}

// Take queues an exchange, or drops and counts it.
func (o *Observer) Take(f *gateway.Finished) {
	n := size(f)
	if o.waiting.Add(n) > o.most {
		o.waiting.Add(-n)
		o.dropMemory.Add(1)
		return
	}
	if !o.put(f) {
		o.waiting.Add(-n)
		o.dropQueue.Add(1)
	}
}

// put queues f; false when the queue is full.
func (o *Observer) put(f *gateway.Finished) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) >= o.length || o.closed {
		return false
	}
	o.queue = append(o.queue, f)
	if !o.armed {
		o.armed = true
		o.timer.Reset(gather)
	}
	return true
}

// run measures what waits.
func (o *Observer) run() {
	o.work.Lock()
	defer o.work.Unlock()
	o.mu.Lock()
	batch := o.queue
	o.queue, o.spare, o.armed = o.spare[:0], nil, false
	o.mu.Unlock()
	for _, f := range batch {
		o.measure(f)
	}
	clear(batch)
	o.mu.Lock()
	o.spare = batch
	o.mu.Unlock()
}

// reading is what measuring one exchange needs.
type reading struct {
	request     wire.Request
	exchange    palladium.Exchange
	observation palladium.Observation
}

// measure turns one exchange into an observation. Text is let go of right after.
func (o *Observer) measure(f *gateway.Finished) {
	in := &o.in
	if fill(f, o.from, &in.request, &in.exchange) {
		o.meter.Measure(&in.exchange, &in.observation)
		o.measured.Add(1)
		if o.namer != nil && in.observation.Model != o.named {
			o.named = in.observation.Model
			o.namer.NameModel(o.named, in.exchange.Model)
		}
		if o.sink != nil {
			o.sink.Observe(&in.observation)
		}
	} else {
		o.unreadable.Add(1)
	}
	clear(in.exchange.Messages[:cap(in.exchange.Messages)])
	in.exchange.Reset()
	_ = in.request.Begin(wire.Chat, []byte("{}"))
	o.waiting.Add(-size(f))
}

// fill fills e; false when the request cannot be read, which it could be when it was admitted.
func fill(f *gateway.Finished, from *origin, r *wire.Request, e *palladium.Exchange) bool {
	if err := f.Dialect.Read(r, f.Kind, f.Body); err != nil {
		return false
	}
	if err := f.Dialect.Fill(e, r, f.Scan); err != nil {
		return false
	}
	e.ID, e.Time, e.Account, e.Credential = f.ID, f.Time, f.Caller.Account, f.Caller.Credential
	e.Client = from.client(f)
	finish := e.Outcome.Finish
	e.Outcome = f.Outcome
	e.Outcome.Finish = finish
	if f.Scan == nil || !f.Scan.HasUsage {
		e.Usage.Input, e.Usage.Output = f.Input, f.Output
	}
	return true
}

// Close measures what waits and takes nothing more.
func (o *Observer) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.timer.Stop()
	o.run()
}

// Counts are how many exchanges were measured, and how many dropped for whatever reason.
func (o *Observer) Counts() (measured, dropped int64) {
	return o.measured.Load(), o.dropQueue.Load() + o.dropMemory.Load() + o.unreadable.Load()
}

// Describe makes an Observer a prometheus.Collector.
func (o *Observer) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, ch) }

// Collect gives the current figures.
func (o *Observer) Collect(ch chan<- prometheus.Metric) {
	one := func(name, help string, v int64, typ prometheus.ValueType, labels ...string) {
		var names []string
		if len(labels) > 0 {
			names = []string{"cause"}
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("palladium_gateway_"+name, help, names, nil), typ, float64(v), labels...)
	}
	const dropped = "Exchanges that were served but not observed, by cause: the queue or its memory was full, or the request could not be read again."
	one("observations_total", "Exchanges that were measured.", o.measured.Load(), prometheus.CounterValue)
	one("observations_dropped_total", dropped, o.dropQueue.Load(), prometheus.CounterValue, "queue")
	one("observations_dropped_total", dropped, o.dropMemory.Load(), prometheus.CounterValue, "memory")
	one("observations_dropped_total", dropped, o.unreadable.Load(), prometheus.CounterValue, "unreadable")
	one("observations_waiting_bytes", "Bytes of text that wait to be measured.", o.waiting.Load(), prometheus.GaugeValue)
}
