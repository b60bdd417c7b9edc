package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// answered takes in what the stream says of the batch of that number.
func (p *Publisher) answered(number string, m *nats.Msg) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	why := verdictOf(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || n < p.queue[0].number || n-p.queue[0].number >= uint64(len(p.queue)) {
		return // acknowledged before
	}
	f := p.queue[n-p.queue[0].number]
	if f.state == acked || f.state == waiting && why != nil {
		return
	}
	if f.state == flying && p.flying > 0 {
		p.flying--
	}
	if why != nil {
		f.state = refused
		p.fault(why)
		return
	}
	f.state = acked
	p.acked += uint64(f.observations)
	p.retire()
	if p.next <= window/2 || p.flying == 0 || p.trouble != nil || p.limit != window {
		p.poke()
	}
	p.limit, p.pause, p.last = window, shortly, nil
}

// retire takes what is acknowledged off the head of the queue. The caller holds the lock.
func (p *Publisher) retire() {
	n := 0
	for n < len(p.queue) && p.queue[n].state == acked {
		f := p.queue[n]
		p.held -= cap(f.message)
		if f != p.sending && len(p.spare) < 2*window && cap(f.message) <= 2*fill {
			p.spare = append(p.spare, f)
		}
		n++
	}
	if n == 0 {
		return
	}
	p.queue = append(p.queue[:0], p.queue[n:]...)
	p.next = max(0, p.next-n)
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// verdictOf returns why a batch was not stored; nil where it was.
func verdictOf(m *nats.Msg) error {
	if len(m.Data) == 0 {
		return errors.New("nobody keeps the stream at this moment")
	}
	if bytes.Contains(m.Data, []byte(`"seq":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var a struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Error == nil {
		if err == nil && a.Seq > 0 {
			return nil
		}
		return errors.New("the stream's answer cannot be read: does another service listen on its subject?")
	}
	return fmt.Errorf("the stream refuses: %s (%d)", a.Error.Description, a.Error.Code)
}
