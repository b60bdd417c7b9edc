package linkage

import (
	"math"
	"math/bits"

	"github.com/palladium-guard/palladium"
)

// table finds tokens by hash. Tokens live in an arena with stable numbers; slots is an open-addressing table of
// 1 + token number, 0 being empty.
type table struct {
	tokens []palladium.Token
	free   []uint32
	slots  []uint32
	used   int
}

func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

func tokenHash(k palladium.Kind, h uint64) uint64 {
	return mix(h + uint64(k)*0x9e3779b97f4a7c15)
}

func (t *table) grow(n int) {
	old := t.slots
	t.slots = make([]uint32, n)
	mask := uint64(n - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := t.tokens[s-1].Hash & mask
		for t.slots[i] != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

// get returns the number of the token with hash h, making it when it is new.
func (t *table) get(k palladium.Kind, h uint64) uint32 {
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 {
		if n := t.slots[i] - 1; t.tokens[n].Hash == h {
			return n
		}
		i = (i + 1) & mask
	}
	var n uint32
	tok := palladium.Token{Hash: h, Head: palladium.NoToken, Kind: k}
	if l := len(t.free); l > 0 {
		n = t.free[l-1]
		t.free = t.free[:l-1]
		t.tokens[n] = tok
	} else {
		n = uint32(len(t.tokens))
		t.tokens = append(t.tokens, tok)
	}
	t.slots[i] = n + 1
	t.used++
	if t.used*4 > len(t.slots)*3 {
		t.grow(len(t.slots) * 2)
	}
	return n
}

// drop forgets token n, which nobody holds any more, shifting back what probing had displaced.
func (t *table) drop(n uint32) {
	mask := uint64(len(t.slots) - 1)
	i := t.tokens[n].Hash & mask
	for t.slots[i] != n+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; t.slots[j] != 0; j = (j + 1) & mask {
		home := t.tokens[t.slots[j]-1].Hash & mask
		if (j-home)&mask >= (j-i)&mask {
			t.slots[i], i = t.slots[j], j
		}
	}
	t.slots[i] = 0
	t.tokens[n] = palladium.Token{Head: palladium.NoToken}
	t.free = append(t.free, n)
	t.used--
}

// attach joins account a to the token of kind k and hash h, and returns its edge; nil when the account's slots of
// that kind are held by tokens that matter more, or the family is switched off.
func (x *Index) attach(a uint32, k palladium.Kind, h uint64) *palladium.Edge {
	return x.join(a, x.Profile(a), k, tokenHash(k, h))
}

// join is attach for a token's own hash.
func (x *Index) join(a uint32, p *palladium.Profile, k palladium.Kind, th uint64) *palladium.Edge {
	tag := uint16(th >> 48)
	lo, hi := k.Slots()
	empty := -1
	for i := lo; i < hi; i++ {
		e := &p.Edges[i]
		if e.Token == palladium.NoToken {
			if empty < 0 {
				empty = i
			}
		} else if e.Tag == tag && x.table.tokens[e.Token].Hash == th {
			bump16(&e.Hits)
			return e
		}
	}
	if empty < 0 {
		if k == palladium.KindShingle && (th>>20^uint64(p.Exchanges))&3 != 0 {
			return nil // a newcomer gets its chance at every fourth exchange: what an account repeats gets in soon
		}
		if empty = x.contend(p, lo, hi); empty < 0 {
			return nil
		}
		x.detach(a, p, empty)
	}
	return x.hold(a, p, empty, k, th)
}

// contend finds the slot whose token matters least: fewest hits, then most holders. A slot is given up once its
// hits have been worn down by newcomers, as in the Space-Saving sketch (Metwally et al. 2005).
func (x *Index) contend(p *palladium.Profile, lo, hi int) int {
	low := lo
	for i := lo + 1; i < hi; i++ {
		e, l := &p.Edges[i], &p.Edges[low]
		if e.Hits < l.Hits || e.Hits == l.Hits && x.table.tokens[e.Token].Holders > x.table.tokens[l.Token].Holders {
			low = i
		}
	}
	if e := &p.Edges[low]; e.Hits > 1 {
		e.Hits--
		return -1
	}
	return low
}

func (x *Index) detach(a uint32, p *palladium.Profile, slot int) {
	e := p.Edges[slot]
	x.edge(e.Next).Prev = e.Prev
	if e.Prev != palladium.NoToken {
		x.edge(e.Prev).Next = e.Next
	} else {
		x.table.tokens[e.Token].Head = e.Next
	}
	if t := &x.table.tokens[e.Token]; t.Holders > 1 {
		t.Holders--
	} else {
		x.table.drop(e.Token)
	}
	p.Edges[slot].Token = palladium.NoToken
}

// edge returns the edge with number n; for NoToken a scratch edge that is never read.
func (x *Index) edge(n uint32) *palladium.Edge {
	if n == palladium.NoToken {
		return &x.table0
	}
	return &x.Profile(n / palladium.EdgeCount).Edges[n%palladium.EdgeCount]
}

func (x *Index) hold(a uint32, p *palladium.Profile, slot int, k palladium.Kind, th uint64) *palladium.Edge {
	n := x.table.get(k, th)
	t := &x.table.tokens[n]
	self := a*palladium.EdgeCount + uint32(slot)
	p.Edges[slot] = palladium.Edge{Token: n, Prev: palladium.NoToken, Next: t.Head, Hits: 1, Tag: uint16(th >> 48)}
	if t.Head != palladium.NoToken {
		x.edge(t.Head).Prev = self
	}
	t.Head = self
	t.Holders++
	if k == palladium.KindCell && t.Holders == 1 {
		x.cells = append(x.cells, n)
	}
	if t.Holders >= seedAt && t.Holders >= t.Seen+t.Seen/2 {
		t.Seen = t.Holders
		x.dirty = append(x.dirty, n)
	}
	return &p.Edges[slot]
}

// seedAt is the least number of holders at which a token is examined.
const seedAt = 6

// unionFind joins accounts that partner; each set is also a ring, so that its members can be listed.
type unionFind struct {
	up, next, size []uint32
}

func (u *unionFind) add() {
	n := uint32(len(u.up))
	u.up, u.next, u.size = append(u.up, n), append(u.next, n), append(u.size, 1)
}

func (u *unionFind) find(a uint32) uint32 {
	for u.up[a] != a {
		u.up[a] = u.up[u.up[a]]
		a = u.up[a]
	}
	return a
}

// union joins the sets of a and b; it returns the root and, when they were apart, the new size, else 0.
func (u *unionFind) union(a, b uint32) (root uint32, grown uint32) {
	a, b = u.find(a), u.find(b)
	if a == b {
		return a, 0
	}
	if u.size[a] < u.size[b] {
		a, b = b, a
	}
	u.up[b] = a
	u.size[a] += u.size[b]
	u.next[a], u.next[b] = u.next[b], u.next[a]
	return a, u.size[a]
}

func (u *unionFind) members(a uint32, buf []uint32) []uint32 {
	for b := a; ; {
		buf = append(buf, b)
		if b = u.next[b]; b == a {
			return buf
		}
	}
}

// recall remembers which account last sent a hash and about how many different accounts did: a 4-way cache that
// forgets the rarest and oldest.
type recall struct {
	slots []seen
	mask  uint64
	used  bool
}

type seen struct {
	tag   uint32
	owner uint32
	count uint16 // changes of owner + 1, saturating; 0 is an empty slot
	at    uint16 // hour
	_     uint32 // four slots fill a cache line
}

func newRecall(bits int) recall {
	n := 1 << max(bits, 4)
	return recall{slots: make([]seen, n), mask: uint64(n-1) &^ 3}
}

// find returns what is remembered of h.
func (r *recall) find(h uint64) (seen, bool) {
	if !r.used {
		return seen{}, false
	}
	i, tag := h&r.mask, uint32(h>>32)
	for _, s := range r.slots[i : i+4] {
		if s.count > 0 && s.tag == tag {
			return s, true
		}
	}
	return seen{}, false
}

// visit records that account a sent h, and returns the account that sent it before (a itself when none is
// remembered) and about how many different accounts have.
func (r *recall) visit(h uint64, a uint32, hour uint16) (was uint32, n int) {
	i, tag := h&r.mask, uint32(h>>32)
	set := r.slots[i : i+4 : i+4]
	low := 0
	for j := range set {
		s := &set[j]
		if s.count > 0 && s.tag == tag {
			was = s.owner
			if was != a && s.count < math.MaxUint16 {
				s.count++
			}
			s.owner, s.at = a, hour
			return was, int(s.count)
		}
		if rank(s, hour) < rank(&set[low], hour) {
			low = j
		}
	}
	r.used = true
	set[low] = seen{tag: tag, owner: a, count: 1, at: hour}
	return a, 1
}

// rank orders slots by what they are worth: a doubling of the count is worth a week of age.
func rank(s *seen, hour uint16) int {
	if s.count == 0 {
		return math.MinInt32
	}
	return 168*(bits.Len16(s.count)-1) - int(hour-s.at)
}
