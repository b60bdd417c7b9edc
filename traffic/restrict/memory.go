package restrict

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/internal/wire"
)

// maxPairs is how many distinct pairs of token and bias are counted for one account and day.
const maxPairs = 1024

// ways is how many seals share a bucket of the memory.
const ways = 4

// Memory remembers, within fixed bounds, what single requests do not show: behind which message a sealed reasoning block
// was made, and how many different tokens an account has biased in a day. It forgets the oldest first, and then knows
// nothing, which is never held against anybody. It is safe for concurrent use.
type Memory struct {
	mu       sync.Mutex
	seals    [][ways]seal
	accounts map[string]*biases
	limit    int
	cleared  int64 // day on which the accounts of days past were last removed
}

type seal struct {
	key, context uint64
	at           int64 // Unix seconds
}

type biases struct {
	day   int64
	pairs []uint64 // sorted
}

// NewMemory makes a memory of that many seals and accounts, at least one of each. A seal takes 24 bytes, an account that
// uses biases up to 8 KB.
func NewMemory(seals, accounts int) *Memory {
	return &Memory{seals: make([][ways]seal, max(1, seals/ways)), accounts: map[string]*biases{}, limit: max(1, accounts)}
}

// Recall sets what is known for r of the account's earlier requests: Edited and Biases. The biases of r count from now on.
func (m *Memory) Recall(r *wire.Request, account string, now time.Time) {
	ask := r.Asked(wire.LogitBias)
	if len(r.Seals) == 0 && ask == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range r.Seals {
		key := sealKey(account, s.Hash)
		bucket := &m.seals[key%uint64(len(m.seals))]
		for i := range bucket {
			if bucket[i].key == key && bucket[i].context != s.Context {
				r.Edited++
			}
		}
	}
	if ask != nil {
		r.Biases = m.count(r, account, now)
	}
}

// Learn notes behind which message, the context of the request, the seals of its answer were made.
func (m *Memory) Learn(t *wire.Tally, context uint64, account string, now time.Time) {
	if t.SealsN == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, hash := range t.Seals[:t.SealsN] {
		key := sealKey(account, hash)
		bucket := &m.seals[key%uint64(len(m.seals))]
		oldest := 0
		for i := range bucket {
			if bucket[i].key == key {
				oldest = i
				break
			}
			if bucket[i].at < bucket[oldest].at {
				oldest = i
			}
		}
		bucket[oldest] = seal{key, context, now.Unix()}
	}
}

func sealKey(account string, hash uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], hash)
	return xxh3.HashSeed(b[:], xxh3.HashString(account)) | 1 // zero is an empty place
}

// count adds the biases of r to those of the account and returns how many different ones there are, maxPairs at most.
func (m *Memory) count(r *wire.Request, account string, now time.Time) int {
	day := now.Unix() / 86400
	b := m.accounts[account]
	if b == nil {
		if len(m.accounts) >= m.limit {
			m.forget(day)
		}
		b = &biases{day: day}
		m.accounts[account] = b
	}
	if b.day != day {
		b.day, b.pairs = day, b.pairs[:0]
	}
	var parts []wire.Member
	for i := range r.Asks {
		if r.Asks[i].Feature != wire.LogitBias {
			continue
		}
		parts = wire.Parts(parts[:0], r.Body, r.Asks[i].Value)
		for k := range parts {
			if len(b.pairs) >= maxPairs {
				return maxPairs
			}
			h := xxh3.HashStringSeed(parts[k].Name, xxh3.Hash(parts[k].Value.Of(r.Body)))
			if at, found := slices.BinarySearch(b.pairs, h); !found {
				b.pairs = slices.Insert(b.pairs, at, h)
			}
		}
	}
	return len(b.pairs)
}

// forget makes room: the accounts of days past, or else those with the fewest biases of a handful.
func (m *Memory) forget(day int64) {
	if m.cleared != day {
		m.cleared = day
		for name, b := range m.accounts {
			if b.day != day {
				delete(m.accounts, name)
			}
		}
	}
	for len(m.accounts) >= m.limit {
		least, seen := "", 0
		for name, b := range m.accounts {
			if seen == 0 || len(b.pairs) < len(m.accounts[least].pairs) {
				least = name
			}
			if seen++; seen == 8 {
				break
			}
		}
		delete(m.accounts, least)
	}
}
