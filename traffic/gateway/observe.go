package gateway

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// Sink takes observations. The observation is the gateway's again when Observe returns; calls come one at a time.
type Sink interface {
	Observe(*palladium.Observation)
}

// finished is what is kept of an exchange until it is measured.
type finished struct {
	id         requestID
	start      time.Time
	caller     Caller
	ip         string
	agent      string
	dialect    Dialect
	kind       wire.Endpoint
	body       []byte
	scan       *wire.Scanner
	outcome    palladium.Outcome
	input, out int64 // tokens
	size       int64 // bytes of text
}

// observer turns finished exchanges into observations, off the path: what gathers in a few milliseconds is measured
// together, by a goroutine of a timer. What it cannot take is dropped and counted: it never delays an exchange.
type observer struct {
	length  int   // exchanges that may wait
	most    int64 // bytes of text that may wait
	sink    Sink
	waiting atomic.Int64 // bytes of text

	mu     sync.Mutex
	queue  []*finished
	spare  []*finished
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

func newObserver(g *Gateway, m *measure.Meter, sink Sink) *observer {
	c := &g.current.Load().cfg.Observe
	o := &observer{length: c.Queue, most: int64(c.Memory), meter: m, sink: sink}
	o.timer = time.AfterFunc(time.Hour, o.run)
	o.timer.Stop()
	return o
}

// take queues an exchange that reached a model. The server's goroutine calls it last.
func (o *observer) take(x *exchange) {
	if o == nil || x.s.cfg.Observe.Off || x.up == nil || !x.route.policed() || x.route.Kind == wire.CountTokens || x.body == nil {
		return
	}
	f := &finished{
		id: x.id, start: x.start, caller: x.caller, agent: x.r.UserAgent(), dialect: x.dialect(), kind: x.route.Kind, body: x.body,
		outcome: palladium.Outcome{Status: x.status, MS: ms(time.Since(x.start))}, size: int64(len(x.body) + cap(x.scan.Text)),
	}
	f.ip, _, _ = net.SplitHostPort(x.r.RemoteAddr)
	if !x.firstByte.IsZero() {
		f.outcome.TTFTMS = ms(x.firstByte.Sub(x.start))
	}
	if x.scanned {
		scan := x.scan // a copy: the exchange holds the connection
		f.scan = &scan
		if !x.scan.HasUsage && x.reserved != nil {
			f.input, f.out = x.cost()
		}
	}
	if o.waiting.Add(f.size) > o.most {
		o.waiting.Add(-f.size)
		o.dropMemory.Add(1)
		return
	}
	if !o.put(f) {
		o.waiting.Add(-f.size)
		o.dropQueue.Add(1)
	}
}

// put queues f; false when the queue is full.
func (o *observer) put(f *finished) bool {
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

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// run measures what waits.
func (o *observer) run() {
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
func (o *observer) measure(f *finished) {
	in := &o.in
	if f.fill(&in.request, &in.exchange) {
		o.meter.Measure(&in.exchange, &in.observation)
		o.measured.Add(1)
		if o.sink != nil {
			o.sink.Observe(&in.observation)
		}
	} else {
		o.unreadable.Add(1)
	}
	clear(in.exchange.Messages[:cap(in.exchange.Messages)])
	in.exchange.Reset()
	_ = in.request.Begin(wire.Chat, []byte("{}"))
	o.waiting.Add(-f.size)
}

// fill fills e; false when the request cannot be read, which it could be when it was admitted.
func (f *finished) fill(r *wire.Request, e *palladium.Exchange) bool {
	if err := f.dialect.Read(r, f.kind, f.body); err != nil {
		return false
	}
	if err := f.dialect.Fill(e, r, f.scan); err != nil {
		return false
	}
	e.ID, e.Time, e.Account, e.Credential = f.id.String(), f.start, f.caller.Account, f.caller.Credential
	e.Client = palladium.Client{IP: f.ip, UserAgent: strings.Clone(f.agent)}
	finish := e.Outcome.Finish
	e.Outcome = f.outcome
	e.Outcome.Finish = finish
	if f.scan == nil || !f.scan.HasUsage {
		e.Usage.Input, e.Usage.Output = f.input, f.out
	}
	return true
}

// close measures what waits and takes nothing more.
func (o *observer) close() {
	if o == nil {
		return
	}
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.timer.Stop()
	o.run()
}

func (o *observer) collect(ch chan<- prometheus.Metric) {
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
