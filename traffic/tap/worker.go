package tap

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// worker decodes and measures. Its decoders and its measure are its own.
type worker struct {
	formats  []dialect.Format
	decoders map[string]dialect.Decoder
	measure  func(*palladium.Exchange, *palladium.Observation)
	ahead    time.Duration
	names    map[uint64]string // behind model hashes

	c      *chunk
	record *Record
	latest int64 // Unix seconds: times after it are implausible
}

// decode fills c with what its records hold.
func (w *worker) decode(c *chunk) {
	w.c = c
	w.latest = time.Now().Add(w.ahead).Unix()
	// A decoder keeps the memory of what it read last. Made anew, it takes no text with it beyond the chunk.
	w.decoders = make(map[string]dialect.Decoder, len(w.formats))
	for i := range c.records {
		w.record = &c.records[i]
		w.value(w.record.Value)
	}
	w.c, w.record, w.decoders = nil, nil, nil
}

// value decodes one document, or several lines of them.
func (w *worker) value(v []byte) {
	if len(w.formats) == 1 && w.formats[0].Whole {
		w.line(v)
		return
	}
	v = bytes.TrimSpace(v)
	first, _, several := bytes.Cut(v, []byte{'\n'})
	if !several || !json.Valid(first) {
		w.line(v)
		return
	}
	for line := range bytes.Lines(v) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			w.line(line)
		}
	}
}

// line decodes one document.
func (w *worker) line(line []byte) {
	if len(line) > dialect.MaxLine {
		w.c.reject(w.record, dialect.ErrTooLong.Error(), 1)
		return
	}
	f := &w.formats[0]
	for i := range w.formats {
		if g := &w.formats[i]; g.Sniff != nil && g.Sniff(line) {
			f = g
			break
		}
	}
	d := w.decoders[f.Name]
	if d == nil {
		d = f.New()
		w.decoders[f.Name] = d
	}
	if err := d.Decode(line, w.take); err != nil {
		w.c.reject(w.record, err.Error(), int64(dialect.Omitted(err)))
	}
}

// take receives a record of the decoder.
func (w *worker) take(r *dialect.Record) error {
	if r.Kind == dialect.KindAccount {
		w.c.accounts = append(w.c.accounts, clone(&r.Account))
		return nil
	}
	e := &r.Exchange
	switch s := e.Time.Unix(); {
	case s < oldest:
		w.c.reject(w.record, "time before the year 2000: check the clock of the writer", 1)
		return nil
	case s > w.latest:
		w.c.reject(w.record, "time in the future: check the clocks of the writer and of this machine", 1)
		return nil
	}
	it := w.c.next()
	w.measure(e, &it.obs)
	name, ok := w.names[it.obs.Model]
	if !ok {
		name = strings.Clone(e.Model)
		if len(w.names) < maxModels {
			w.names[it.obs.Model] = name
		}
	}
	it.model = name
	return nil
}

// clone returns a copy of a that shares no memory with the record it was read from.
func clone(a *palladium.Account) palladium.Account {
	c := *a
	for _, s := range []*string{
		&c.ID, &c.Organization, &c.Plan, &c.EmailDomain, &c.EmailShape, &c.Payment, &c.BIN, &c.PhonePrefix, &c.Device, &c.SignupIP,
		(*string)(&c.Relation),
	} {
		*s = strings.Clone(*s)
	}
	c.Verified = slices.Clone(c.Verified)
	for i := range c.Verified {
		c.Verified[i] = strings.Clone(c.Verified[i])
	}
	return c
}
