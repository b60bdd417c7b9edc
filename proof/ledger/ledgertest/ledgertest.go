// Package ledgertest holds the tests that every form of ledger must pass.
package ledgertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/proof/ledger"
)

// Options say what the form under test promises.
type Options struct {
	// Trust opens the checkpoints of receipts. With a zero Trust the form gives none and its indices mean nothing.
	Trust ledger.Trust
}

// Run tests the empty ledgers that open returns. open closes what it opened at the end of the test.
func Run(t *testing.T, o Options, open func(t *testing.T) ledger.Ledger) {
	t.Run("append", func(t *testing.T) {
		l := open(t)
		for i := range 3 {
			s := ledger.Statement{Type: "test/v1", Time: time.UnixMilli(1_700_000_000_123), Body: fmt.Appendf(nil, "statement %d", i)}
			r, err := l.Append(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if r.Entry.Digest != sha256.Sum256(s.Body) || r.Entry.Size != int64(len(s.Body)) || r.Entry.Type != s.Type || !r.Entry.Time.Equal(s.Time) {
				t.Errorf("entry %+v is not that of the statement", r.Entry)
			}
			o.check(t, &r, uint64(i))
		}
	})
	t.Run("body is the caller's again", func(t *testing.T) {
		l := open(t)
		body := []byte("first")
		want := sha256.Sum256(body)
		r, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		copy(body, "other")
		if r.Entry.Digest != want {
			t.Error("the entry changed with the body")
		}
	})
	t.Run("clock", func(t *testing.T) {
		r, err := open(t).Append(t.Context(), ledger.Statement{Type: "test/v1", Body: []byte("text")})
		if err != nil {
			t.Fatal(err)
		}
		if r.Entry.Time.IsZero() {
			t.Error("a statement without time was given none")
		}
	})
	t.Run("refused", func(t *testing.T) {
		l := open(t)
		for name, s := range map[string]ledger.Statement{
			"no type":        {Body: []byte("text")},
			"space":          {Body: []byte("text"), Type: "a b"},
			"line break":     {Body: []byte("text"), Type: "a\nb"},
			"long type":      {Body: []byte("text"), Type: string(bytes.Repeat([]byte("a"), 600))},
			"empty":          {Type: "test/v1"},
			"long body":      {Type: "test/v1", Body: make([]byte, ledger.MaxStatement+1)},
			"before history": {Body: []byte("text"), Type: "test/v1", Time: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			if _, err := l.Append(t.Context(), s); !errors.Is(err, ledger.ErrStatement) {
				t.Errorf("%s: got error %v", name, err)
			}
		}
		r, err := l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: []byte("text")})
		if err != nil {
			t.Fatal(err)
		}
		o.check(t, &r, 0)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := open(t).Append(ctx, ledger.Statement{Type: "test/v1", Body: []byte("text")}); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("together", func(t *testing.T) { o.together(t, open(t)) })
	t.Run("concurrent", func(t *testing.T) { o.concurrent(t, open(t)) })
}

func (o *Options) together(t *testing.T, l ledger.Ledger) {
	if r, err := l.AppendAll(t.Context(), nil); err != nil || len(r) > 0 {
		t.Errorf("nothing appended: got %v, %v", r, err)
	}
	statements := make([]ledger.Statement, 10_000)
	for i := range statements {
		statements[i] = ledger.Statement{Type: "test/v1", Body: fmt.Appendf(nil, "statement %d", i)}
	}
	if o.Trust.Log == nil {
		statements = statements[:3]
	}
	receipts, err := l.AppendAll(t.Context(), statements)
	if err != nil || len(receipts) != len(statements) {
		t.Fatalf("got %d receipts and error %v", len(receipts), err)
	}
	for i := range receipts {
		if receipts[i].Entry.Digest != sha256.Sum256(statements[i].Body) {
			t.Fatalf("statement %d has the receipt of another", i)
		}
		if o.Trust.Log != nil && receipts[i].Index != uint64(i) {
			t.Fatalf("statement %d has entry %d", i, receipts[i].Index)
		}
	}
	last := len(receipts) - 1
	o.check(t, &receipts[last], uint64(last))
	statements[len(statements)-1].Type = ""
	if _, err := l.AppendAll(t.Context(), statements); !errors.Is(err, ledger.ErrStatement) {
		t.Errorf("one without type: got error %v", err)
	}
}

func (o *Options) concurrent(t *testing.T, l ledger.Ledger) {
	const n = 300
	receipts := make([]ledger.Receipt, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			body := fmt.Appendf(nil, "statement %d", i)
			if receipts[i], err = l.Append(t.Context(), ledger.Statement{Type: "test/v1", Body: body}); err != nil {
				t.Error(err)
			}
			if receipts[i].Entry.Digest != sha256.Sum256(body) {
				t.Errorf("statement %d has the receipt of another", i)
			}
		})
	}
	wg.Wait()
	if o.Trust.Log == nil || t.Failed() {
		return
	}
	seen := make(map[uint64]bool)
	for i := range receipts {
		if seen[receipts[i].Index] || receipts[i].Index >= n {
			t.Errorf("index %d given twice or out of range", receipts[i].Index)
		}
		seen[receipts[i].Index] = true
		o.check(t, &receipts[i], receipts[i].Index)
	}
}

func (o *Options) check(t *testing.T, r *ledger.Receipt, index uint64) {
	t.Helper()
	if o.Trust.Log == nil {
		return
	}
	if r.Index != index {
		t.Errorf("got index %d, want %d", r.Index, index)
	}
	cp, err := ledger.OpenCheckpoint(r.Checkpoint, o.Trust)
	if err != nil {
		t.Fatal(err)
	}
	if cp.Size <= index {
		t.Errorf("checkpoint of %d entries does not cover entry %d", cp.Size, index)
	}
}
