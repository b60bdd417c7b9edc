package ledger

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// Memory is a ledger that lives as long as the process, for tests.
type Memory struct {
	signer note.Signer
	now    func() time.Time

	mu    sync.Mutex
	rng   *compact.Range
	saved []Statement
}

// NewMemory returns an empty ledger whose checkpoints signer signs. now gives the time of statements that have none.
func NewMemory(signer note.Signer, now func() time.Time) *Memory {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &Memory{signer: signer, now: now, rng: f.NewEmptyRange(0)}
}

// Append keeps s in memory.
func (m *Memory) Append(ctx context.Context, s Statement) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	if s.Time.IsZero() {
		s.Time = m.now()
	}
	e, err := s.Entry()
	if err != nil {
		return Receipt{}, err
	}
	s.Body, s.Time = slices.Clone(s.Body), e.Time
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rng.Append(e.LeafHash(), nil); err != nil {
		return Receipt{}, err
	}
	root, err := m.rng.GetRootHash(nil)
	if err != nil {
		return Receipt{}, err
	}
	m.saved = append(m.saved, s)
	n := uint64(len(m.saved))
	text := log.Checkpoint{Origin: m.signer.Name(), Size: n, Hash: root}.Marshal()
	cp, err := note.Sign(&note.Note{Text: string(text)}, m.signer)
	return Receipt{Index: n - 1, Entry: e, Checkpoint: cp}, err
}

// AppendAll keeps the statements in memory.
func (m *Memory) AppendAll(ctx context.Context, s []Statement) ([]Receipt, error) {
	return oneByOne(ctx, m, s)
}

// Statements returns what was appended, in order.
func (m *Memory) Statements() []Statement {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.saved)
}
