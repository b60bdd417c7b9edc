package campaign

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/extraction"
	"github.com/palladium-guard/palladium/traffic/linkage"
)

// A group is not compared with references that hold any of its accounts.
func TestOwnReferencesAreLeftOut(t *testing.T) {
	tr := New(Options{Extraction: extraction.New(extraction.Weights{})})
	g := &Group{members: []member{{account: 5}, {account: 7}}}
	for _, on := range [][]uint32{{1, 2, 5}, {5, 6, 7}, {8, 9}, {7}, {6}} {
		tr.refs = append(tr.refs, reference{LinkedUse: palladium.LinkedUse{Score: 1, Accounts: 3}, on: on})
	}
	tr.file()
	if p, n := tr.pValue(g); n != 2 || p != 1 {
		t.Errorf("p %v of %d references", p, n)
	}
	g.use.Score = 2
	if p, n := tr.pValue(g); n != 2 || math.Abs(p-1.0/3) > 1e-12 {
		t.Errorf("p %v of %d references", p, n)
	}
}

// Groups that the operator vouches for are among the references whatever else there is, and even where they are
// suspected.
func TestVouchedGroupsAreReferences(t *testing.T) {
	x, now := people(11, 120, crew{"tenant", 12, palladium.RelationTenant}, crew{"reseller", 9, palladium.RelationReseller}, crew{"few", 4, palladium.RelationTenant})
	tr := examined(t, x, now)
	for _, full := range []bool{false, true} {
		if tr.naturals = nil; full {
			for tok := range uint32(250) {
				if k := x.Token(tok); k.Holders >= minAccounts {
					tr.naturals = append(tr.naturals, tok)
				}
			}
		}
		for _, g := range tr.groups {
			g.Rejected, g.extractP = true, 0.01
		}
		tr.calibrate(x, uint32(now/palladium.SlotMillis))
		features, vouched := tr.References()
		if vouched != 2 || !full && len(features) != 2 || full && len(features) < 2 {
			t.Errorf("%d references, %d of them vouched for", len(features), vouched)
		}
		for i, r := range tr.refs {
			if r.vouched != (i < 2) || !slices.IsSorted(r.on) {
				t.Errorf("reference %d: vouched %v on %v", i, r.vouched, r.on)
			}
		}
	}
}

// Among too few accounts, and with too few references, groups are shown, and nothing is claimed.
func TestTooLittleToCalibrate(t *testing.T) {
	x, now := people(3, 26, crew{"bot", 12, ""})
	tr := examined(t, x, now)
	if len(tr.groups) == 0 {
		t.Fatal("nothing is shown")
	}
	for _, g := range tr.groups {
		f := g.Facts(x)
		if f.Calibrated || f.OperatorRejected || f.Trials > 0 || f.OperatorP != 1 || slices.Contains(f.Families, palladium.Queue) || f.Keys < 1 || f.Known != 38 || tr.tried != 0 {
			t.Errorf("%+v", f)
		}
	}
	for _, c := range []struct {
		compared int
		want     bool
	}{{MinReferences - 1, false}, {MinReferences, true}} {
		g := &Group{members: []member{{account: 1}}, weights: make([]weights, 1), compared: c.compared}
		x, _ := people(3, 60)
		if f := g.Facts(x); f.Calibrated != c.want {
			t.Errorf("%d references: calibrated %v", c.compared, f.Calibrated)
		}
	}
}

// The days' e-value: where loads are those of strangers its mean is at most 1, for one day and for the product of many.
// The 2,000 draws are independent; limits are three standard errors.
func TestDaysAreFair(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	var one, square float64
	const draws = 200_000
	for range draws {
		e := halfBet(max(1-r.Float64(), pFloor))
		one, square = one+e, square+e*e
	}
	mean := one / draws
	if limit := 1 + 3*math.Sqrt((square/draws-mean*mean)/draws); mean > limit {
		t.Errorf("one day is worth %.4f on average, at most %.4f", mean, limit)
	}
	over := 0 // Ville: P(the product ever reaches 20) <= 1/20
	for range 5_000 {
		g := Group{dayE: 1}
		high := 0.0
		for range 60 {
			g.wager(max(1-r.Float64(), pFloor))
			high = max(high, g.dayE)
		}
		if high >= 20 {
			over++
		}
	}
	if limit := 5_000*0.05 + 3*math.Sqrt(5_000*0.05*0.95); float64(over) > limit {
		t.Errorf("60 days reach 20 in %d of 5,000 lives, at most %.0f", over, limit)
	}
	g := Group{dayE: 1}
	for range 99 {
		g.wager(pFloor)
	}
	if g.dayE != dayLimit || math.Abs(halfBet(1)-0.75) > 1e-12 {
		t.Errorf("the days come to %v, a dull one to %v", g.dayE, halfBet(1))
	}
}

// strangersDay plays one day of a group of strangers, drawn up before it, and returns what it came to.
func strangersDay(t *testing.T, x *linkage.Index, now int64, accounts []uint32) float64 {
	t.Helper()
	tr := New(Options{Seed: uint64(accounts[0])})
	newest := uint32(now / palladium.SlotMillis)
	tr.prepare(x, x.Background(), newest)
	g := &Group{dayE: 1, dayAt: now - 40*hour, roster: accounts}
	tr.day(g, x, newest, now)
	if len(g.Trials) != 1 || g.roster != nil {
		t.Fatalf("%d trials, roster %v", len(g.Trials), g.roster)
	}
	return g.dayE
}

func TestStrangersDayIsFair(t *testing.T) {
	x, now := people(13, 300)
	r := rand.New(rand.NewPCG(13, 13))
	var sum, square float64
	const draws = 150
	for range draws {
		var accounts []uint32
		for _, a := range r.Perm(x.Accounts())[:14] {
			accounts = append(accounts, uint32(a))
		}
		slices.Sort(accounts)
		e := strangersDay(t, x, now, accounts)
		sum, square = sum+e, square+e*e
	}
	mean := sum / draws
	if limit := 1 + 3*math.Sqrt(max(square/draws-mean*mean, 0)/draws); mean > limit {
		t.Errorf("a day of strangers is worth %.3f on average, at most %.3f", mean, limit)
	}
}

// The day's loads come after the moment at which its accounts were chosen.
func TestDayWaitsForFreshLoads(t *testing.T) {
	x, now := people(14, 200, crew{"a", 16, ""})
	newest := uint32(now / palladium.SlotMillis)
	tr := New(Options{Seed: 1})
	tr.prepare(x, x.Background(), newest)
	for _, c := range []struct {
		slots uint32 // before the newest
		tried bool
	}{{daySlots, false}, {daySlots + 1, true}} {
		at := int64(newest-c.slots)*palladium.SlotMillis + hour
		g := &Group{dayE: 1, dayAt: at, roster: numbers(0, 16)}
		if tr.day(g, x, newest, now); (g.dayE != 1) != c.tried || (g.roster == nil) != c.tried {
			t.Errorf("%d slots on: e-value %v", c.slots, g.dayE)
		}
		if c.tried && g.dayE < 2 {
			t.Errorf("a day of one dispatcher's accounts is worth %v", g.dayE)
		}
	}
}

// The extraction p-value of a group that is one of many alike is small no more often than it says, when the group's own
// reference is left out and the rest are kept.
func TestCalibrationIsSuperUniform(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 15))
	tr := New(Options{Extraction: extraction.New(extraction.Weights{})})
	const groups, draws = 60, 4000
	levels := []float64{0.02, 0.05, 0.2, 0.5}
	below := make([]int, len(levels))
	for range draws {
		tr.refs = tr.refs[:0]
		for i := range uint32(groups) {
			tr.refs = append(tr.refs, reference{LinkedUse: palladium.LinkedUse{Score: r.NormFloat64(), Accounts: 8}, on: []uint32{2 * i, 2*i + 1}})
		}
		tr.file()
		g := &Group{members: []member{{account: 6}}, use: tr.refs[3].LinkedUse}
		p, n := tr.pValue(g)
		if n != groups-1 {
			t.Fatalf("compared with %d", n)
		}
		for i, a := range levels {
			if p <= a {
				below[i]++
			}
		}
	}
	for i, a := range levels {
		if limit := draws*a + 3*math.Sqrt(draws*a*(1-a)); float64(below[i]) > limit {
			t.Errorf("p <= %v in %d of %d draws", a, below[i], draws)
		}
	}
}
