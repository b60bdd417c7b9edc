package campaign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion/block"
	"github.com/palladium-guard/palladium/traffic/linkage"
)

const hour = 3_600_000

// crew is a set of accounts that one operator runs: they share networks, a template and a dispatcher.
type crew struct {
	name     string
	accounts int
	relation palladium.Relation
}

// people and crews use the model for eight days; the returned time is that of the last exchange. Crews are numbered
// first, in their order.
func people(seed uint64, honest int, crews ...crew) (*linkage.Index, int64) {
	r := rand.New(rand.NewPCG(seed, 9))
	x := linkage.New(linkage.Options{RecallBits: 12, Hash: func(kind byte, s string) uint64 {
		h := uint64(kind) + 1469598103934665603
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		return h
	}})
	type sender struct {
		id          string
		crew        int // -1 for a person
		rate        float64
		begin, ip   int64
		net, client uint64
		topic       int
	}
	var all []sender
	for c, w := range crews {
		for i := range w.accounts {
			all = append(all, sender{id: fmt.Sprint(w.name, i), crew: c, begin: 20 + int64(r.IntN(12)), topic: 40 + c})
			x.Describe(&palladium.Account{ID: all[len(all)-1].id, Relation: w.relation, Plan: "pro"})
		}
	}
	for i := range honest {
		all = append(all, sender{id: fmt.Sprint("person", i), crew: -1, rate: 0.02 + 0.3*r.Float64()*r.Float64()*r.Float64(), begin: int64(r.IntN(150)),
			ip: r.Int64(), net: 1 + r.Uint64N(300), client: 1 + r.Uint64N(6), topic: r.IntN(30)})
		x.Describe(&palladium.Account{ID: all[len(all)-1].id, Plan: "pro"})
	}
	var last int64
	for h := int64(0); h < 8*24; h++ {
		for i, s := range all {
			turn := s.crew >= 0 && (h+int64(i))%3 == 0
			if h < s.begin || s.crew >= 0 && !turn || s.crew < 0 && r.Float64() >= s.rate {
				continue
			}
			last = h*hour + int64(r.IntN(hour/2))
			o := palladium.Observation{Account: s.id, Time: last, IP: uint64(s.ip), Net: s.net, Client: s.client, Prompt: r.Uint64(), Words: 30, Turns: 1}
			for range 3 {
				o.Shingles = append(o.Shingles, r.Uint64())
			}
			if s.crew >= 0 {
				o.IP, o.Net = 1<<40+uint64(s.crew)*8+r.Uint64N(4), 1<<40+uint64(s.crew)
				for k := range uint64(3) {
					o.Shingles = append([]uint64{(uint64(s.crew)*16 + k + 1) * 0x9e3779b97f4a7c15}, o.Shingles...)
				}
			}
			for range 10 {
				o.Terms = append(o.Terms, uint16(s.topic*400+r.IntN(150)), uint16(30_000+r.IntN(2000)))
			}
			x.Observe(&o)
		}
	}
	return x, last
}

// examined lets a new tracker look once at all that x holds.
func examined(t testing.TB, x *linkage.Index, now int64) *Tracker {
	t.Helper()
	tr := New(Options{Seed: 1})
	tokens, moved := x.Dirty()
	slices.Sort(tokens)
	var seeds []Seed
	for _, k := range slices.Compact(tokens) {
		seeds = append(seeds, Seed{Token: k})
	}
	for _, a := range moved {
		seeds = append(seeds, Seed{Token: palladium.NoToken, Accounts: x.Partners(a, nil)})
	}
	tr.Examine(now, x, seeds, x.Background())
	return tr
}

// within counts the members whose number is in [lo, hi).
func within(g *Group, lo, hi uint32) (in, out int) {
	for _, m := range g.members {
		if m.account >= lo && m.account < hi {
			in++
		} else {
			out++
		}
	}
	return in, out
}

func TestPlantedBlockIsFound(t *testing.T) {
	for seed := range uint64(2) {
		x, now := people(seed, 160, crew{"bot", 24, ""})
		tr := examined(t, x, now)
		if len(tr.groups) != 1 {
			t.Fatalf("seed %d: %d groups", seed, len(tr.groups))
		}
		g := tr.groups[0]
		if in, out := within(g, 0, 24); in < 22 || out > 0 || !g.Rejected {
			t.Errorf("seed %d: %d of 24 found with %d others, independence ruled out: %v", seed, in, out, g.Rejected)
		}
		if f := g.Facts(x); f.Keys < 2 || !f.Whole || f.Vouched != 0 || f.Exchanges == 0 || f.OperatorP > 1e-4 {
			t.Errorf("seed %d: facts %+v", seed, f)
		}
	}
}

func TestIndependentAccountsAreNotOne(t *testing.T) {
	for seed := range uint64(20) {
		x, now := people(100+seed, 130)
		for _, g := range examined(t, x, now).groups {
			if g.Rejected {
				t.Errorf("seed %d: %d independent accounts are said to act as one: e %.3g, p %v", seed, len(g.members), g.E(), g.trial.p)
			}
		}
	}
}

func TestTwoCrewsStayApart(t *testing.T) {
	x, now := people(5, 160, crew{"a", 16, ""}, crew{"b", 16, ""})
	tr := examined(t, x, now)
	if len(tr.groups) != 2 {
		t.Fatalf("%d groups", len(tr.groups))
	}
	for _, g := range tr.groups {
		a, _ := within(g, 0, 16)
		b, _ := within(g, 16, 32)
		if a > 0 && b > 0 || a+b < 14 || a+b != len(g.members) {
			t.Errorf("%d of one crew and %d of another among %d", a, b, len(g.members))
		}
	}
}

// fitted makes one group of the accounts as they are, hanging together or not.
func fitted(tr *Tracker, x *linkage.Index, accounts []uint32, now int64) *Group {
	newest := uint32(now / palladium.SlotMillis)
	s := &tr.search
	s.pool.Load(x, accounts, newest)
	s.r, s.w = block.Resize(s.r, len(accounts)), block.Resize(s.w, len(accounts))
	for i := range s.r {
		s.r[i] = 0.95
	}
	s.m.Fit(&s.pool, s.r, &tr.bg, x.Accounts(), &tr.without)
	s.m.ScoreAll(&s.pool, s.w)
	g := &Group{ID: "c0001", Born: 1, dayE: 1, extractP: 1, model: s.m}
	g.model.Seal(&s.pool)
	s.m = model{}
	for i, a := range accounts {
		g.members, g.weights = append(g.members, member{a, 0.95}), append(g.weights, s.w[i])
	}
	return g
}

func numbers(lo, hi uint32) (out []uint32) {
	for a := lo; a < hi; a++ {
		out = append(out, a)
	}
	return out
}

func TestGuestsArePeeled(t *testing.T) {
	x, now := people(6, 160, crew{"a", 24, ""}, crew{"b", 6, ""})
	tr := New(Options{Seed: 1})
	tr.prepare(x, x.Background(), uint32(now/palladium.SlotMillis))
	g := fitted(tr, x, numbers(0, 30), now)
	out := tr.guests(g, x, uint32(now/palladium.SlotMillis))
	for a := range uint32(30) {
		if out[a] != (a >= 24) {
			t.Errorf("account %d is a guest: %v", a, out[a])
		}
	}
	if g = fitted(tr, x, numbers(0, 24), now); len(tr.guests(g, x, uint32(now/palladium.SlotMillis))) > 0 || g.loose {
		t.Error("a group of one piece has guests")
	}
}

func TestVouchedGuestsAreDismissed(t *testing.T) {
	for _, c := range []struct{ own, tenants, left int }{{12, 3, 12}, {6, 9, 15}, {8, 0, 8}} {
		x, now := people(7, 60, crew{"a", c.own, ""}, crew{"t", c.tenants, palladium.RelationTenant})
		tr := New(Options{Seed: 1})
		tr.prepare(x, x.Background(), uint32(now/palladium.SlotMillis))
		g := fitted(tr, x, numbers(0, uint32(c.own+c.tenants)), now)
		tr.dismiss(g, x)
		if len(g.members) != c.left || len(g.weights) != c.left {
			t.Errorf("%d accounts with %d vouched for: %d are left", c.own, c.tenants, len(g.members))
		}
		if out, _ := within(g, uint32(c.own), 99); len(g.Guests())+out != c.tenants {
			t.Errorf("%d accounts with %d vouched for: %d on record", c.own, c.tenants, len(g.Guests()))
		}
	}
}

// Two fragments of one crew are one group after a look.
func TestFragmentsAreAbsorbed(t *testing.T) {
	x, now := people(8, 160, crew{"a", 24, ""})
	tr := examined(t, x, now)
	g := tr.groups[0]
	h := &Group{ID: "c0009", Born: g.Born - 5, dayE: 1, extractP: 1, model: g.model, decidedAt: 3, drawn: 40}
	h.fitted.accounts = 9
	h.members, h.weights = slices.Clone(g.members[:8]), slices.Clone(g.weights[:8])
	g.members, g.weights = g.members[8:], g.weights[8:]
	for _, m := range h.members {
		tr.owner[m.account] = h
	}
	tr.groups = append(tr.groups, h)
	tr.absorb(x, uint32(now/palladium.SlotMillis), now)
	if in, out := within(g, 0, 24); in < 22 || out > 0 || len(h.members) != 0 {
		t.Errorf("%d members and %d others, %d left apart", in, out, len(h.members))
	}
	if g.ID != "c0009" || g.decidedAt != 3 || g.drawn != 40 {
		t.Errorf("the older group's name and decision are lost: %s %d %d", g.ID, g.decidedAt, g.drawn)
	}
}
