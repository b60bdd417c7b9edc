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

// observer turns finished exchanges into observations, on a goroutine of its own. What it cannot take is dropped and
// counted: it never delays an exchange.
type observer struct {
	queue   chan *finished
	waiting atomic.Int64 // bytes of text in the queue
	most    int64
	meter   *measure.Meter
	sink    Sink
	stop    chan struct{}
	closing sync.Once
	end     sync.WaitGroup

	measured, unreadable  atomic.Int64
	dropQueue, dropMemory atomic.Int64
}

func newObserver(g *Gateway, m *measure.Meter, sink Sink) *observer {
	c := &g.current.Load().cfg.Observe
	o := &observer{queue: make(chan *finished, c.Queue), most: int64(c.Memory), meter: m, sink: sink, stop: make(chan struct{})}
	o.end.Add(1)
	go o.run()
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
	select {
	case o.queue <- f:
	default:
		o.waiting.Add(-f.size)
		o.dropQueue.Add(1)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// run measures until close.
func (o *observer) run() {
	defer o.end.Done()
	var in reading
	for {
		select {
		case f := <-o.queue:
			o.measure(f, &in)
		case <-o.stop:
			for {
				select {
				case f := <-o.queue:
					o.measure(f, &in)
				default:
					return
				}
			}
		}
	}
}

// reading is the memory of the observer's goroutine.
type reading struct {
	request     wire.Request
	exchange    palladium.Exchange
	observation palladium.Observation
}

// measure turns one exchange into an observation. Text is let go of right after.
func (o *observer) measure(f *finished, in *reading) {
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

// close measures what waits and ends.
func (o *observer) close() {
	if o == nil {
		return
	}
	o.closing.Do(func() { close(o.stop) })
	o.end.Wait()
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
