package measure_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/measure"
)

// observe measures one user message.
func observe(m *measure.Meter, text string) *palladium.Observation {
	o := new(palladium.Observation)
	m.Measure(&palladium.Exchange{Messages: []palladium.Message{{Role: "user", Text: text}}}, o)
	return o
}

// some returns n words of a vocabulary of size v.
func some(r *rand.Rand, n, v int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		for x := r.IntN(v) + 26; x > 0; x /= 26 {
			b.WriteByte(byte('a' + x%26))
		}
	}
	return b.String()
}

func TestAllocations(t *testing.T) {
	m, o := newMeter(t), new(palladium.Observation)
	e := sample()
	e.Output = strings.Repeat(some(rand.New(rand.NewPCG(1, 1)), 100, 1000), 3)
	e.Messages = append([]palladium.Message{{Role: "user", Text: "before"}, {Role: "assistant", Text: e.Output}}, e.Messages...)
	e.Tools = []string{"search", "shell"}
	e.Params.LogitBias = make([]palladium.TokenBias, 300)
	m.Measure(e, o)
	n := 0
	if got := testing.AllocsPerRun(200, func() {
		n++
		e.Client.IP = [2]string{"198.51.100.7", "2001:db8::1"}[n%2]
		m.Measure(e, o)
	}); got != 0 {
		t.Errorf("%v allocations an exchange", got)
	}
	fresh := make([]string, 300) // addresses never met before cost no allocation either
	for i := range fresh {
		fresh[i] = fmt.Sprintf("198.51.%d.%d", i/200, i%200)
	}
	n = 0
	if got := testing.AllocsPerRun(250, func() { e.Client.IP = fresh[n]; n++; m.Measure(e, o) }); got != 0 {
		t.Errorf("%v allocations for a new address", got)
	}
}

func TestFolding(t *testing.T) {
	m := newMeter(t)
	for _, c := range []struct {
		a, b   string
		prompt bool // one hash of the whole
		words  bool // one stream of words, so equal fingerprints
	}{
		{"Hello, World", "hello,  world\n", true, true},
		{"Hello, World", "hello world", false, true},
		{"a  b\t\nc", " A B C ", true, true},
		{"ПРИВЕТ, Мир", "привет, мир", true, true},
		{"ÉCOLE Straße", "école straße", true, true},
		{"solve 12 + 7 now please", "solve 3.5 + 1,000 now please", false, true},
		{"the 1st and 2nd of user17", "the 3rd and 44th of user9", false, true},
		{"١٢ كتاب", "٣٤٥ كتاب", false, true},
		{"mal\u200bware", "malware", true, true},
		{"ideo\u3000graphic", "ideo graphic", true, true},
		{"你好，世界", "你好世界", false, true},
		{"你好", "好你", false, false},
		{"one two", "two one", false, false},
		{"naïve", "naive", false, false},
		{"", " \n\t ", true, true},
	} {
		a, b := observe(m, c.a), observe(m, c.b)
		if got := a.Prompt == b.Prompt; got != c.prompt {
			t.Errorf("%q and %q: same prompt %v", c.a, c.b, got)
		}
		got := a.SimHash == b.SimHash && a.MinHash == b.MinHash && slices.Equal(a.Shingles, b.Shingles) && slices.Equal(a.Terms, b.Terms)
		if got != c.words {
			t.Errorf("%q and %q: same fingerprints %v", c.a, c.b, got)
		}
	}
}

func TestWordCount(t *testing.T) {
	m := newMeter(t)
	for _, c := range []struct {
		text string
		want uint32
	}{
		{"", 0}, {"...", 0}, {"one", 1}, {"don't stop", 3}, {"3.14 and 1,000.50", 3}, {"你好世界", 4}, {"カタカナ", 4}, {"안녕 하세요", 5},
		{"สวัสดี", 6}, {"gpt4all", 2}, {"x-ray v2.", 4}, {"\xff\xfe bad", 1}, {"नमस्ते दुनिया", 2}, {"v1.", 2}, {"İstanbul", 1},
	} {
		if got := observe(m, c.text).Words; got != c.want {
			t.Errorf("%q has %d words, want %d", c.text, got, c.want)
		}
	}
	long := strings.Repeat("four and twenty blackbirds ", 1000)
	if got := observe(m, long).Words; got < 3900 || got > 4100 {
		t.Errorf("4,000 words were counted as %d", got)
	}
}

func TestShingles(t *testing.T) {
	m, r := newMeter(t), rand.New(rand.NewPCG(2, 2))
	tag := func(s []uint64) (out []int) {
		for _, h := range s {
			out = append(out, int(h&measure.TagMask))
		}
		return out
	}
	if got := tag(observe(m, "what is love").Shingles); !slices.Equal(got, []int{measure.TagWhole}) {
		t.Errorf("a short message has the shingles %v", got)
	}
	if got := tag(observe(m, "one two three four five").Shingles); !slices.Equal(got, []int{measure.TagStart, measure.TagEnd, measure.TagInner}) {
		t.Errorf("five words have the shingles %v", got)
	}
	for range 200 {
		start, end, passage := some(r, 4, 500), some(r, 4, 500), some(r, 8, 100_000)
		text := func(n int) string {
			return start + " " + some(r, n, 500) + " " + passage + " " + some(r, n, 500) + " " + end
		}
		a, b := observe(m, text(5)), observe(m, text(6))
		if a.Shingles[0] != b.Shingles[0] || a.Shingles[1] != b.Shingles[1] {
			t.Fatal("the same first and last words give other boundary shingles")
		}
		if !slices.ContainsFunc(a.Shingles[2:], func(h uint64) bool { return slices.Contains(b.Shingles[2:], h) }) {
			t.Fatal("a shared passage of eight words leaves no common shingle")
		}
	}
	// Within a long text the first and last ones stay, and of the others those that any text would keep.
	long := strings.Fields(some(r, 400, 100_000))
	a, b := observe(m, strings.Join(long, " ")), observe(m, strings.Join(append(slices.Clone(long[:200]), long[203:]...), " "))
	if len(a.Shingles) != measure.MaxShingles {
		t.Errorf("a long message has %d shingles", len(a.Shingles))
	}
	same := 0
	for _, h := range a.Shingles {
		if slices.Contains(b.Shingles, h) {
			same++
		}
	}
	if same < 28 {
		t.Errorf("three words cut from 400 change all but %d of %d shingles", same, len(a.Shingles))
	}
	if s := observe(m, strings.Repeat("over and over again it said ", 50)).Shingles; len(s) > 10 {
		t.Errorf("a repeated line has %d shingles", len(s))
	}
}

// The share of equal bins estimates the Jaccard similarity of the shingle sets.
func TestMinHash(t *testing.T) {
	m, r := newMeter(t), rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct{ words, changed int }{{24, 4}, {60, 10}, {60, 30}, {300, 60}, {300, 0}, {60, 60}, {8, 2}} {
		var got, want float64
		const runs = 300
		for range runs {
			a := strings.Fields(some(r, c.words, 1_000_000))
			b := append(strings.Fields(some(r, c.changed, 1_000_000)), a[c.changed:]...)
			x, y := observe(m, strings.Join(a, " ")), observe(m, strings.Join(b, " "))
			for i := range x.MinHash {
				if x.MinHash[i] == y.MinHash[i] {
					got++
				}
			}
			k := 5
			if c.words < 12 {
				k = 3
			}
			shared, all := float64(c.words-c.changed-k+1), float64(c.words-k+1)
			shared = max(0, shared)
			want += shared / (2*all - shared)
		}
		got, want = got/runs/64, want/runs
		want += (1 - want) / 256
		if diff := got - want; diff > 0.02 || diff < -0.02 {
			t.Errorf("%d of %d words changed: %.3f of the bins agree, want %.3f", c.changed, c.words, got, want)
		}
	}
}

// The carry-save counters give the same as 64 plain ones.
func TestSimHash(t *testing.T) {
	m, r := newMeter(t), rand.New(rand.NewPCG(4, 4))
	mean := func(change int) (d float64) {
		const runs = 200
		for range runs {
			a := strings.Fields(some(r, 100, 100_000))
			b := append(slices.Clone(a[:len(a)-change]), strings.Fields(some(r, change, 100_000))...)
			d += float64(bits.OnesCount64(observe(m, strings.Join(a, " ")).SimHash^observe(m, strings.Join(b, " ")).SimHash)) / runs
		}
		return d
	}
	if d := mean(0); d != 0 {
		t.Errorf("equal texts differ in %.1f bits", d)
	}
	near, half, other := mean(1), mean(50), mean(100)
	if near > 6 || half < 15 || half > 25 || other < 30 || other > 34 {
		t.Errorf("mean distance: one word of 100 changed %.1f bits, half %.1f, all %.1f", near, half, other)
	}
}

func TestTerms(t *testing.T) {
	m := newMeter(t)
	if got := len(observe(m, "the cat and the cat").Terms); got != 6 { // the, cat, the cat, and, cat and, and the
		t.Errorf("%d terms, want 6", got)
	}
	a, b := observe(m, "alpha beta gamma delta"), observe(m, "zeta alpha beta")
	shared := 0
	for _, x := range a.Terms {
		if slices.Contains(b.Terms, x) {
			shared++
		}
	}
	if shared != 3 { // alpha, beta, alpha beta
		t.Errorf("%d terms in common, want 3", shared)
	}
	// The bitmap is clean again after each message.
	if got := observe(m, "alpha beta gamma delta").Terms; !slices.Equal(got, a.Terms) {
		t.Error("the same message has other terms the second time")
	}
}

func TestDeterminism(t *testing.T) {
	e := sample()
	e.Output = strings.Repeat(some(rand.New(rand.NewPCG(5, 5)), 100, 1000), 2)
	a, b, c := new(palladium.Observation), new(palladium.Observation), new(palladium.Observation)
	m := newMeter(t)
	m.Measure(e, a)
	for range 50 { // what was measured in between does not matter
		observe(m, some(rand.New(rand.NewPCG(6, 6)), 700, 1000))
	}
	m.Measure(e, b)
	newMeter(t).Measure(e, c)
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(a, c) {
		t.Error("the same exchange gives different observations")
	}
	measure.New([32]byte{7}, nil).Measure(e, b)
	if a.Prompt == b.Prompt || a.IP == b.IP || a.Shingles[0] == b.Shingles[0] || a.System == b.System || a.ID == b.ID ||
		a.Params == b.Params || a.Client == b.Client || a.Terms[0] == b.Terms[0] && a.Terms[1] == b.Terms[1] {
		t.Error("another key gives the same hashes")
	}
}

// memory returns every byte that the observation holds but those of its account id.
func memory(o *palladium.Observation) []byte {
	c := *o
	c.Account = ""
	out := slices.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c)))
	for _, s := range [][]uint64{o.Shingles, o.Chain, o.Quotes, o.Answers} {
		if s = s[:cap(s)]; len(s) > 0 {
			out = append(out, unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 8*len(s))...)
		}
	}
	if s := o.Terms[:cap(o.Terms)]; len(s) > 0 {
		out = append(out, unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 2*len(s))...)
	}
	if s := o.Biased[:cap(o.Biased)]; len(s) > 0 {
		out = append(out, unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 4*len(s))...)
	}
	return out
}

func FuzzMeasure(f *testing.F) {
	f.Add("user", "You are kind.", prompt300, "Before", "The answer is 42.", 0)
	f.Add("human", "", strings.Repeat("重复的句子。", 600), "", strings.Repeat("word ", 900), 2)
	f.Add("tool", "\xff", "a\xc3", "İ\u0345Ⱥ", "", 40)
	f.Add("user", "", strings.Repeat("Ⱥ", 1600), strings.Repeat("1a", 1800), strings.Repeat("٣ ", 1200), 1)
	m, other := newMeter(f), newMeter(f)
	f.Fuzz(func(t *testing.T, role, system, prompt, before, answer string, turns int) {
		e := sample()
		e.System, e.Output, e.Account, e.Outcome.Finish = system, answer, before, prompt
		e.Messages = e.Messages[:0]
		for i := range min(max(turns, 0), 50) {
			e.Messages = append(e.Messages, palladium.Message{Role: [2]string{"user", "assistant"}[i%2], Text: before})
		}
		e.Messages = append(e.Messages, palladium.Message{Role: role, Text: prompt}, palladium.Message{Role: role, Digest: before})
		o, again := new(palladium.Observation), new(palladium.Observation)
		other.Measure(e, again)
		m.Measure(e, o)
		m.Measure(e, o)
		if !reflect.DeepEqual(o, again) {
			t.Fatal("two measurements differ")
		}
		if len(o.Shingles) > measure.MaxShingles || len(o.Terms) > measure.MaxTerms || len(o.Chain) > measure.MaxChain ||
			len(o.Quotes) > measure.MaxQuotes || len(o.Answers) > measure.MaxAnswers || len(o.Biased) > measure.MaxBiased {
			t.Fatal("a slice is over its bound")
		}
		for _, h := range o.Answers {
			if slices.Contains(o.Quotes, h) {
				t.Fatal("an answer's shingle stands in the request")
			}
		}
		if o.Outcome.Finish != "" && unsafe.StringData(o.Outcome.Finish) == unsafe.StringData(prompt) {
			t.Fatal("the observation keeps the exchange's memory alive")
		}
		held, runs := memory(o), map[[8]byte]bool{}
		for i := 0; i+8 <= len(held); i++ {
			runs[[8]byte(held[i:])] = true
		}
		for _, text := range []string{system, prompt, before, answer} {
			for i := 0; i+8 <= len(text); i++ {
				part := [8]byte([]byte(text[i : i+8]))
				if part == [8]byte(slices.Repeat(part[:1], 8)) || slices.Contains(part[:], 0) {
					continue // a MinHash of one shingle, a small number
				}
				if runs[part] {
					t.Fatalf("the observation holds %q", part)
				}
			}
		}
	})
}
