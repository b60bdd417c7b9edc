package observe

import (
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect/openai"
	"github.com/palladium-guard/palladium/traffic/gateway"
	"github.com/palladium-guard/palladium/traffic/measure"
)

type sink struct {
	mu  sync.Mutex
	all []palladium.Observation
}

func (s *sink) Observe(o *palladium.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, *o)
}

func finished(body string) *gateway.Finished {
	return &gateway.Finished{ID: "r", Time: time.UnixMilli(5), Caller: gateway.Caller{Account: "acme"}, Remote: "192.0.2.1:99", Dialect: openai.New(), Kind: wire.Chat,
		Body: []byte(body), Outcome: palladium.Outcome{Status: 200}, Input: 3, Output: 4}
}

const chat = `{"model":"m","messages":[{"role":"user","content":"hello there"}]}`

// What is taken is measured once, soon, and without a word from anybody; text is let go of.
func TestMeasures(t *testing.T) {
	s := &sink{}
	o, err := New(gateway.Observe{Queue: 10, Memory: 1000}, measure.New([32]byte{1}, nil), s)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	o.Take(finished(chat))
	o.Take(finished("{"))
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if measured, dropped := o.Counts(); measured == 1 && dropped == 1 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d measured, %d dropped", measured, dropped)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.all[0]; a.Account != "acme" || a.Time != 5 || a.Words != 2 || a.Usage.Output != 4 || a.IP == 0 {
		t.Errorf("%+v", a)
	}
	if o.waiting.Load() != 0 {
		t.Errorf("%d bytes still wait", o.waiting.Load())
	}
}

// Beyond its bounds and after its end it takes nothing, and counts what it does not take.
func TestDrops(t *testing.T) {
	o, err := New(gateway.Observe{Queue: 2, Memory: gateway.Bytes(3 * len(chat))}, measure.New([32]byte{1}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.work.Lock() // nothing is measured
	for range 3 {
		o.Take(finished(chat))
	}
	if o.dropQueue.Load() != 1 {
		t.Errorf("%d dropped for the queue", o.dropQueue.Load())
	}
	o.Take(finished(chat + string(make([]byte, 1000))))
	if o.dropMemory.Load() != 1 {
		t.Errorf("%d dropped for memory", o.dropMemory.Load())
	}
	o.work.Unlock()
	o.Close()
	o.Take(finished(chat))
	if measured, dropped := o.Counts(); measured != 2 || dropped != 3 || o.waiting.Load() != 0 {
		t.Errorf("%d measured, %d dropped, %d bytes wait", measured, dropped, o.waiting.Load())
	}
}
