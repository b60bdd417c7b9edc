package file

import (
	"context"
	"strings"
	"sync"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// look is one file on its way through lookThrough.
type look struct {
	source   *source
	accounts chan []palladium.Account
}

// lookThrough reads the regular files once, quickly: it delivers their account records, in the order of the files,
// and notes each file's format and about when its exchanges begin. Reasons to reject are left for the main reading.
func (r *reading[T]) lookThrough(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	looks := make([]look, 0, len(r.sources))
	for _, s := range r.sources {
		if !s.once {
			looks = append(looks, look{s, make(chan []palladium.Account, 1)})
		}
	}
	todo := make(chan look)
	running.Go(func() {
		defer close(todo)
		for _, l := range looks {
			select {
			case todo <- l:
			case <-ctx.Done():
				return
			}
		}
	})
	for range min(r.o.Workers, len(looks)) {
		running.Go(func() {
			for l := range todo {
				r.lookAt(ctx, l)
			}
		})
	}
	r.progress.Looking = true
	for _, l := range looks {
		if err := r.deliver(ctx, l); err != nil {
			return err
		}
		r.report(l.source.path)
	}
	r.read.Store(0)
	r.progress.Looking = false
	return nil
}

func (r *reading[T]) deliver(ctx context.Context, l look) error {
	for {
		select {
		case accounts, more := <-l.accounts:
			if !more {
				return nil
			}
			for i := range accounts {
				r.stats.Accounts++
				if err := r.account(&accounts[i]); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lookAt goes through one file. Exchanges are decoded until five were found.
func (r *reading[T]) lookAt(ctx context.Context, l look) {
	defer close(l.accounts)
	s := l.source
	st, err := s.open(r.o.Resume, &r.read)
	if err != nil {
		return
	}
	defer st.close()
	in := splitter{in: st, size: 256 << 10, line: s.start.Lines, offset: s.start.Bytes}
	var (
		b       block
		found   []palladium.Account
		decoder dialect.Decoder
		times   int
	)
	keep := func(rec *dialect.Record) error {
		if rec.Kind == dialect.KindAccount {
			found = append(found, clone(&rec.Account))
		}
		return nil
	}
	date := func(rec *dialect.Record) error {
		if rec.Kind != dialect.KindExchange {
			return nil
		}
		if ms := rec.Exchange.Time.UnixMilli(); times == 0 || ms < s.first {
			s.first = ms
		}
		times++
		return nil
	}
	defer func() { s.looked = in.offset }() // before accounts is closed
	for in.next(&b) == nil {
		if s.format == nil {
			s.format = sniff(r.o.Formats, &b)
		}
		if decoder == nil {
			decoder = s.format.New()
		}
		b.eachLine(func(line []byte, _, _, _ int64) bool {
			// Errors are left for the main reading to report.
			if len(line) > dialect.MaxLine {
				return true
			}
			if s.format.Account != nil && s.format.Account(line) {
				_ = decoder.Decode(line, keep)
			} else if times < 5 {
				_ = decoder.Decode(line, date)
			}
			return true
		})
		if len(found) > 0 {
			select {
			case l.accounts <- found:
			case <-ctx.Done():
				return
			}
			found = nil
		}
		if ctx.Err() != nil || (times >= 5 && s.format.Account == nil) {
			return
		}
	}
}

// clone copies an account out of the decoder's memory.
func clone(a *palladium.Account) palladium.Account {
	c := *a
	for _, s := range []*string{&c.ID, &c.Organization, &c.Plan, &c.EmailDomain, &c.EmailShape, &c.Payment, &c.BIN,
		&c.PhonePrefix, &c.Device, &c.SignupIP, (*string)(&c.Relation)} {
		*s = strings.Clone(*s)
	}
	c.Verified = nil
	for _, v := range a.Verified {
		c.Verified = append(c.Verified, strings.Clone(v))
	}
	return c
}
