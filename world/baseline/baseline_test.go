package baseline

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// start is a Monday's midnight.
const start = int64(1_767_571_200_000)

// stream feeds observations in time order.
func stream(b Baseline, obs []palladium.Observation) map[string]bool {
	slices.SortStableFunc(obs, func(x, y palladium.Observation) int { return int(x.Time - y.Time) })
	e := new(palladium.Exchange)
	for i := range obs {
		b.Observe(&obs[i], e)
	}
	return b.Flagged()
}

func names(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	slices.Sort(out)
	return out
}

func TestVolumeLimit(t *testing.T) {
	var obs []palladium.Observation
	for _, a := range []struct {
		id           string
		day, amount  int
		hoursBetween int64
	}{
		{"busy", 0, 12, 0}, {"usual", 0, 10, 0}, {"usual", 1, 10, 0}, {"spread", 0, 30, 3},
	} {
		for i := range a.amount {
			at := start + int64(a.day)*dayMillis + int64(i)*(a.hoursBetween*hourMillis+1000)
			obs = append(obs, palladium.Observation{Account: a.id, Time: at})
		}
	}
	v := NewVolumeLimit(10)
	if got, want := names(stream(v, obs)), []string{"busy"}; !slices.Equal(got, want) {
		t.Errorf("flagged %v, want %v", got, want)
	}
	if at := v.FlaggedAt()["busy"]; at != start+10_000 {
		t.Errorf("flagged %d ms after the start, want at the 11th request", at-start)
	}
	limit, q := v.Oracle(func(id string) bool { return id != "spread" })
	if limit != 9 || q != (Quality{2, 2, 2}) {
		t.Errorf("oracle limit %d with %+v, want 9 with both and nobody else", limit, q)
	}
	if got := names(v.Above(limit)); !slices.Equal(got, []string{"busy", "usual"}) {
		t.Errorf("above the oracle limit: %v", got)
	}
	if _, q := v.Oracle(func(string) bool { return false }); q.Flagged != 0 {
		t.Errorf("with nobody hostile the oracle flags %d", q.Flagged)
	}
}

func TestSharedAttribute(t *testing.T) {
	at := func(id string, net uint64, hour float64) palladium.Observation {
		return palladium.Observation{Account: id, Net: net, Time: start + int64(hour*hourMillis)}
	}
	s := NewSharedAttribute()
	for i, id := range numbered("card", 5) {
		s.Account(&palladium.Account{ID: id, Payment: "visa"})
		s.Account(&palladium.Account{ID: fmt.Sprintf("own%d", i), Payment: fmt.Sprint(i)})
	}
	var obs []palladium.Observation
	for i, id := range numbered("net", 6) { // a chain: each meets the next in an hour of its own
		obs = append(obs, at(id, uint64(100+i), float64(i)), at(id, uint64(101+i), float64(i+1)))
	}
	for i, id := range numbered("pair", 4) { // too few
		obs = append(obs, at(id, 7, 0.1*float64(i)))
	}
	for i, id := range numbered("apart", 8) { // same network, other hours
		obs = append(obs, at(id, 8, float64(i)))
	}
	for i := range Popular + 1 {
		obs = append(obs, at(fmt.Sprintf("crowd%d", i), 9, 3.5))
	}
	want := append(numbered("card", 5), numbered("net", 6)...)
	if got := names(stream(s, obs)); !slices.Equal(got, want) {
		t.Errorf("flagged %v, want %v", got, want)
	}
}

func TestSynchroTrap(t *testing.T) {
	var obs []palladium.Observation
	add := func(id string, hour int, o palladium.Observation) {
		o.Account, o.Time = id, start+int64(hour)*hourMillis+int64(len(obs)%3000)
		obs = append(obs, o)
	}
	for i, id := range numbered("lock", 6) { // one address, the same hours
		for h := range 8 {
			add(id, h*3, palladium.Observation{IP: 1, Prompt: uint64(1000*i + h + 1)})
		}
	}
	for i, id := range numbered("other", 6) { // one address, other hours
		for h := range 8 {
			add(id, h*6+i, palladium.Observation{IP: 2})
		}
	}
	for _, id := range numbered("brief", 6) { // in step, but not for long
		for h := range SynchroActions - 1 {
			add(id, h, palladium.Observation{IP: 3})
		}
	}
	for _, id := range numbered("few", 4) {
		for h := range 8 {
			add(id, h, palladium.Observation{IP: 4})
		}
	}
	for i := range Popular + 1 { // everybody's system prompt
		for h := range 6 {
			add(fmt.Sprintf("tool%d", i), h, palladium.Observation{System: 5})
		}
	}
	for i := range Popular + 100 { // the same, never more than a hundred in an hour
		for h := range 6 {
			add(fmt.Sprintf("shift%d", i), 10*(i/100)+h, palladium.Observation{System: 6})
		}
	}
	for i, id := range numbered("mix", 7) { // in step on prompts, diluted by addresses of their own
		for h := range 10 {
			add(id, h, palladium.Observation{Prompt: uint64(50 + h), IP: uint64(90_000 + 100*i + h)})
			add(id, h, palladium.Observation{IP: uint64(80_000 + 100*i + h)})
		}
	}
	s := NewSynchroTrap()
	want := append(numbered("lock", 6), numbered("mix", 7)...)
	if got := names(stream(s, obs)); !slices.Equal(got, want) {
		t.Errorf("flagged %v, want %v", got, want)
	}
	if got := names(s.Flagged()); !slices.Equal(got, want) {
		t.Errorf("asked again: flagged %v, want %v", got, want)
	}
}

func TestSynchronous(t *testing.T) {
	for _, c := range []struct {
		a, b, shared [kinds]uint32
		want         bool
	}{
		{[kinds]uint32{10, 0, 0}, [kinds]uint32{10, 0, 0}, [kinds]uint32{7, 0, 0}, true},  // 7 of 13
		{[kinds]uint32{10, 0, 0}, [kinds]uint32{10, 0, 0}, [kinds]uint32{6, 0, 0}, false}, // 6 of 14
		{[kinds]uint32{4, 0, 0}, [kinds]uint32{4, 0, 0}, [kinds]uint32{4, 0, 0}, false},   // too few
		{[kinds]uint32{4, 4, 0}, [kinds]uint32{4, 4, 0}, [kinds]uint32{3, 3, 0}, true},    // 6 of 10 over all
		{[kinds]uint32{9, 5, 0}, [kinds]uint32{9, 5, 0}, [kinds]uint32{0, 5, 0}, true},    // 5 of 5 in one kind
	} {
		if got := synchronous(&c.a, &c.b, &c.shared); got != c.want {
			t.Errorf("%v and %v sharing %v: %v", c.a, c.b, c.shared, got)
		}
	}
}

// vocabulary draws a prompt of n distinct terms near a point of a large vocabulary.
func vocabulary(r *rand.Rand, n, from, spread int) []uint16 {
	met := map[uint16]bool{}
	for len(met) < n {
		met[uint16(from+r.IntN(spread))] = true
	}
	return slices.Collect(maps.Keys(met))
}

func TestPrada(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := vocabulary(r, 40, 20_000, 4_000)
	var obs []palladium.Observation
	for i := range 100 {
		at := start + int64(i)*60_000
		// What the method takes for honest: distances that scatter evenly about a mean.
		own := slices.Clone(vocabulary(r, 60, i*600, 600))
		if i > 0 {
			copy(own, obs[0].Terms[:max(5, min(50, int(25+6*r.NormFloat64())))])
		}
		obs = append(obs, palladium.Observation{Account: "steady", Time: at, Terms: own})
		// Synthetic queries: small changes of one prompt, with a new seed now and then.
		terms := slices.Clone(base)
		terms[i%40] = uint16(60_000 + i)
		if i%4 == 0 {
			terms = vocabulary(r, 40, 30_000, 20_000)
		}
		obs = append(obs, palladium.Observation{Account: "jumping", Time: at, Terms: terms})
		obs = append(obs, palladium.Observation{Account: "same", Time: at, Terms: base})
		if i < PradaLeast-1 {
			obs = append(obs, palladium.Observation{Account: "young", Time: at, Terms: terms})
		}
	}
	p := NewPrada(100)
	if got := names(stream(p, obs)); !slices.Equal(got, []string{"jumping"}) {
		t.Errorf("flagged %v, want only the account that jumps", got)
	}
	if at := p.FlaggedAt()["jumping"]; at < start+39*60_000 {
		t.Errorf("flagged after %d prompts", (at-start)/60_000+1)
	}
}

func TestPradaDistance(t *testing.T) {
	p := NewPrada(1)
	h := &history{terms: []uint16{1, 2, 3, 4, 70, 71}, ends: []int32{4, 6}}
	for _, c := range []struct {
		terms []uint16
		want  float64
	}{
		{[]uint16{1, 2, 3, 4}, 0}, {[]uint16{1, 2, 8, 9}, 0.5}, {[]uint16{70}, 1 - math.Sqrt(0.5)}, {[]uint16{500}, 1},
	} {
		if got := p.distance(h, c.terms); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("distance of %v is %v, want %v", c.terms, got, c.want)
		}
	}
	if p.mark != [1024]uint64{} {
		t.Error("the bitmap was left dirty")
	}
}

func TestPradaSample(t *testing.T) {
	p := NewPrada(64)
	var o palladium.Observation
	o.Terms = []uint16{1}
	covered := 0
	for i := range 1000 {
		o.Account = fmt.Sprint(i)
		p.Observe(&o, nil)
	}
	for i := range 1000 {
		if p.Covers(fmt.Sprint(i)) {
			covered++
		}
	}
	if covered != len(p.accounts) || covered > 64 || covered < 20 {
		t.Errorf("covers %d of 1000 accounts and keeps %d, want the same, 64 at most", covered, len(p.accounts))
	}
}

func TestFixedWeights(t *testing.T) {
	f := NewFixedWeights(func(asn uint32) bool { return asn == 64500 })
	var obs []palladium.Observation
	for i := range 1500 {
		at := start + int64(i)*57_600 // a day round
		loud := palladium.Observation{Account: "loud", Time: at, Turns: 1, ASN: 64500, Cues: palladium.CueReasoning}
		loud.Usage.Input, loud.Usage.Output = 10, 1000
		obs = append(obs, loud, palladium.Observation{Account: "quiet", Time: at, Turns: uint16(i % 4)})
	}
	if got := names(stream(f, obs)); !slices.Equal(got, []string{"loud"}) {
		t.Errorf("flagged %v, want the loud one", got)
	}
}

func TestQuality(t *testing.T) {
	q := Score(map[string]bool{"a": true, "b": true, "x": true}, []string{"a", "b", "c", "d"}, func(id string) bool { return id != "a" })
	if q != (Quality{Flagged: 2, Right: 1, Hostile: 3}) {
		t.Fatalf("got %+v", q)
	}
	if q.Precision() != 0.5 || q.Recall() != 1.0/3 || q.F1() != 0.4 {
		t.Errorf("precision %v, recall %v, F1 %v", q.Precision(), q.Recall(), q.F1())
	}
	if p := (Quality{}).Precision(); !math.IsNaN(p) {
		t.Errorf("precision of nothing is %v", p)
	}
}

// What each baseline costs, on traffic where accounts in nines share a network. Strangers in step with nobody must not
// be taken for SynchroTrap's prey, and small accounts not for loud ones.
func TestManyAccounts(t *testing.T) {
	all := Standard(nil)
	r := rand.New(rand.NewPCG(3, 4))
	const accounts, each = 2_000, 30
	spent := make([]time.Duration, len(all))
	var o palladium.Observation
	ids := make([]string, accounts)
	for i := range ids {
		ids[i] = fmt.Sprintf("account-%d", i)
	}
	e := new(palladium.Exchange)
	for i := range accounts * each {
		a := r.IntN(accounts)
		o = palladium.Observation{Account: ids[a], Time: start + int64(i)*20_000, IP: uint64(a/3) + 1, Net: uint64(a/9) + 1,
			Prompt: r.Uint64(), System: uint64(a%400) + 1, Client: 1, Terms: o.Terms[:0]}
		for range 40 {
			o.Terms = append(o.Terms, uint16(r.Uint32()))
		}
		for k, b := range all {
			t0 := time.Now()
			b.Observe(&o, e)
			spent[k] += time.Since(t0)
		}
	}
	for k, b := range all {
		t0 := time.Now()
		n := len(b.Flagged())
		if _, links := b.(*SharedAttribute); n > 0 != links && b.Name() != "PRADA-like" {
			t.Errorf("%s flags %d of %d", b.Name(), n, accounts)
		}
		t.Logf("%-24s %7d flagged, stream %v, end %v", b.Name(), n, spent[k].Round(time.Millisecond), time.Since(t0).Round(time.Millisecond))
	}
}
