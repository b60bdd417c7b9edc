package campaign

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

// grown returns a tracker that looks as if it had found two groups.
func grown() *Tracker {
	t := New(Options{Seed: 3})
	t.naturals, t.seenNat, t.calAt, t.calN, t.next, t.tried = []uint32{4, 9}, 2, 77, 1, 2, 2
	t.refs = []reference{{LinkedUse: palladium.LinkedUse{Score: -1.5, Accounts: 8}, vouched: true}, {LinkedUse: palladium.LinkedUse{Score: 2}, on: []uint32{3}}}
	for i := range 2 {
		g := &Group{ID: groupID(i + 1), Born: 5, dayE: 1, stage: palladium.StageWatch, decidedAt: int64(i), why: []string{"because"},
			Trials: []palladium.OperatorTrial{{From: time.UnixMilli(9).UTC(), Accounts: 8, P: 0.5, E: 2}}}
		for a := range uint32(8) {
			m := member{account: uint32(i)*8 + a, r: 0.9}
			g.members, g.weights = append(g.members, m), append(g.weights, weights{float32(a)})
			t.owner[m.account] = g
		}
		g.model.Gain = map[uint32]float32{3: 1.5, 7: 2}
		g.model.Rate = map[uint32]float32{3: 0.5, 7: 1}
		t.groups = append(t.groups, g)
	}
	t.file()
	t.rng.Uint64()
	return t
}

func savedTracker(t testing.TB, tr *Tracker) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStateHoldsTheGroups(t *testing.T) {
	want := grown()
	got, err := Load(bytes.NewReader(savedTracker(t, want)), Options{Seed: 3}, 16, 10)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := got.rng.Uint64(), want.rng.Uint64(); a != b {
		t.Error("the random numbers do not go on where they were")
	}
	got.rng, want.rng = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got.groups[0], want.groups[0])
	}
	if got.owner[9] != got.groups[1] {
		t.Error("an account has lost its group")
	}
	for _, c := range []struct{ accounts, tokens int }{{15, 10}, {16, 9}, {16, 7}, {0, 0}} {
		if _, err := Load(bytes.NewReader(savedTracker(t, want)), Options{Seed: 3}, c.accounts, c.tokens); err == nil {
			t.Errorf("loaded over %d accounts and %d tokens", c.accounts, c.tokens)
		}
	}
}

func TestDamagedGroupsDoNoHarm(t *testing.T) {
	good := savedTracker(t, grown())
	for i := range 2000 {
		r := rand.New(rand.NewPCG(4, uint64(i)))
		data := bytes.Clone(good)
		if i%4 == 0 {
			data = data[:r.IntN(len(data))]
		} else {
			data[r.IntN(len(data))] ^= 1 << r.UintN(8)
		}
		if _, err := Load(bytes.NewReader(data), Options{}, 16, 10); err == nil && i%4 == 0 {
			t.Fatal("a truncated state was loaded")
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(savedTracker(f, grown()))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = Load(bytes.NewReader(data), Options{}, 16, 10)
	})
}
