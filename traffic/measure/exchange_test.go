package measure_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/measure"
)

type turns []palladium.Message

func measured(m *measure.Meter, e palladium.Exchange) *palladium.Observation {
	o := new(palladium.Observation)
	m.Measure(&e, o)
	return o
}

func user(s string) palladium.Message      { return palladium.Message{Role: "user", Text: s} }
func assistant(s string) palladium.Message { return palladium.Message{Role: "assistant", Text: s} }

func TestChain(t *testing.T) {
	m := newMeter(t)
	first := measured(m, palladium.Exchange{Messages: turns{user("What is a monad?")}, Output: "A monoid in a category."})
	if len(first.Chain) != 1 {
		t.Fatalf("after one answer the chain has %d links", len(first.Chain))
	}
	next := turns{user("What is a monad?"), assistant("A monoid in a category.\n"), user("Of what?")}
	for _, c := range []struct {
		name  string
		e     palladium.Exchange
		links int
		meets bool // its history is that of the first exchange after its answer
	}{
		{"another account goes on", palladium.Exchange{Account: "b", Messages: next}, 1, true},
		{"under another system prompt", palladium.Exchange{System: "Be kind.", Messages: next}, 1, true},
		{"with the system prompt as a message", palladium.Exchange{Messages: append(turns{{Role: "system", Text: "x"}}, next...)}, 1, true},
		{"and gets an answer", palladium.Exchange{Messages: next, Output: "Of endofunctors."}, 2, true},
		{"no history", palladium.Exchange{Messages: turns{user("Of what?")}}, 0, false},
		{"another answer", palladium.Exchange{Messages: turns{next[0], assistant("No idea."), next[2]}}, 1, false},
		{"another question", palladium.Exchange{Messages: turns{user("Monad?"), next[1], next[2]}}, 1, false},
		{"roles exchanged", palladium.Exchange{Messages: turns{assistant("What is a monad?"), user("A monoid in a category."), next[2]}}, 1, false},
		{"boundary moved", palladium.Exchange{Messages: turns{user("What is a"), assistant("monad? A monoid in a category.")}}, 1, false},
	} {
		o := measured(m, c.e)
		if len(o.Chain) != c.links || slices.Contains(o.Chain, first.Chain[0]) != c.meets {
			t.Errorf("%s: %d links, meets %v", c.name, len(o.Chain), !c.meets)
		}
	}
	var long turns
	for range 100 {
		long = append(long, user("go on"), assistant("and on"))
	}
	o := measured(m, palladium.Exchange{Messages: long, Output: "the end"})
	if len(o.Chain) != measure.MaxChain || o.Turns != 200 {
		t.Errorf("a long conversation: %d links, %d turns", len(o.Chain), o.Turns)
	}
	if again := measured(m, palladium.Exchange{Messages: append(long, assistant("the end"), user("more"))}); again.Chain[len(again.Chain)-1] != o.Chain[len(o.Chain)-1] {
		t.Error("the last link is not the conversation after the answer")
	}
}

func TestTurns(t *testing.T) {
	m := newMeter(t)
	image := palladium.Message{Role: "user", Digest: "sha256:1"}
	for _, c := range []struct {
		messages       turns
		turns, digests uint16
		words          uint32
	}{
		{nil, 0, 0, 0},
		{turns{user("one two")}, 1, 0, 2},
		{turns{{Role: "system", Text: "x"}, user("one two")}, 1, 0, 2},
		{turns{{Role: "developer", Text: "x"}, user("a"), assistant("b"), user("one two three")}, 3, 0, 3},
		{turns{user("one two"), image}, 1, 1, 2},
		{turns{image, image, user("one two")}, 1, 2, 2},
		{turns{user("one two"), image, assistant("yes"), user("a")}, 3, 1, 1},
		{turns{user("one two"), assistant("calls"), {Role: "tool", Text: "a long result"}}, 3, 0, 2},
		{turns{{Role: "", Text: "complete this"}}, 1, 0, 2},
		{turns{assistant("prefill only")}, 1, 0, 0},
	} {
		o := measured(m, palladium.Exchange{Messages: c.messages})
		if o.Turns != c.turns || o.Digests != c.digests || o.Words != c.words {
			t.Errorf("%+v: %d turns, %d digests, %d words", c.messages, o.Turns, o.Digests, o.Words)
		}
	}
}

// meet counts common values.
func meet(a, b []uint64) (n int) {
	for _, x := range a {
		if slices.Contains(b, x) {
			n++
		}
	}
	return n
}

func TestQuotes(t *testing.T) {
	m, r := newMeter(t), rand.New(rand.NewPCG(8, 8))
	answered, met, echoed, kept, lost := 0, 0, 0, 0, 0
	var padding turns
	for range 8 {
		padding = append(padding, user(some(r, 300, 20_000)), assistant(some(r, 300, 20_000)))
	}
	for range 100 {
		answer := some(r, 150, 20_000)
		given := measured(m, palladium.Exchange{Messages: turns{user("Tell me something.")}, Output: answer})
		if given.Answer == 0 {
			t.Fatal("an answer of 150 words has no hash")
		}
		if len(given.Answers) > 0 {
			answered++
		}
		grade := "Please grade this answer. " + strings.ToUpper(answer) + " " + some(r, 50, 20_000)
		if meet(given.Answers, measured(m, palladium.Exchange{Messages: turns{user(grade)}}).Quotes) > 0 {
			met++
		}
		history := turns{user(some(r, 100, 20_000)), assistant(answer), user(some(r, 100, 20_000)), assistant(some(r, 100, 20_000)), user("Go on.")}
		if meet(given.Answers, measured(m, palladium.Exchange{Messages: history}).Quotes) > 0 {
			echoed++
		}
		if len(measured(m, palladium.Exchange{Messages: append(padding, user("Something new.")), Output: answer}).Answers) == 0 {
			lost++
		}
		for _, e := range []palladium.Exchange{ // repeats of what was sent prove nothing
			{Messages: turns{user("Repeat: " + answer)}, Output: answer},
			{Messages: turns{user(answer), assistant("yes"), user("Repeat it.")}, Output: answer},
			{System: answer, Messages: turns{user("Repeat it.")}, Output: answer},
			{Messages: turns{{Role: "tool", Text: answer}, user("Repeat it.")}, Output: answer},
			{Messages: turns{user(strings.Repeat("filler text of no use ", 400) + answer + strings.Repeat(" more filler text", 600))}, Output: answer},
			{System: strings.Repeat("filler of a prompt ", 150) + answer + strings.Repeat(" more filler text", 90), Messages: turns{user("Repeat it.")}, Output: answer},
			{Messages: append(turns{user(answer)}, append(padding, user("Repeat the first."))...), Output: answer},
			{Messages: turns{{Role: "system", Text: "Be kind."}, {Role: "system", Text: answer}, user("Repeat it.")}, Output: answer},
		} {
			kept += len(measured(m, e).Answers)
		}
	}
	t.Logf("of 100 answers %d are sampled, %d are met in a grading prompt, %d in a history", answered, met, echoed)
	if answered < 99 || met < 99 || echoed < 95 {
		t.Errorf("of 100 answers %d are sampled, %d are met in a grading prompt, %d in a history", answered, met, echoed)
	}
	if lost > 1 {
		t.Errorf("%d answers are taken for repeats of a long history", lost)
	}
	if kept > 0 {
		t.Errorf("%d shingles of the request count as the answer's own", kept)
	}
	short := measured(m, palladium.Exchange{Messages: turns{user("Hi")}, Output: some(r, 39, 20_000)})
	if short.Answer != 0 || len(short.Answers) != 0 {
		t.Error("an answer of 39 words is kept")
	}
	if unlike := measured(m, palladium.Exchange{Messages: turns{user(some(r, 500, 20_000))}}); len(unlike.Quotes) != measure.MaxQuotes {
		t.Errorf("a message of 500 words has %d quotes", len(unlike.Quotes))
	}
	// Numbers keep their values here: two tables of figures are not one.
	figures := func(seed uint64) string {
		r := rand.New(rand.NewPCG(seed, seed))
		var b strings.Builder
		for range 300 {
			b.WriteString(string(rune('0'+r.IntN(10))) + " ")
		}
		return b.String()
	}
	if n := meet(observe(m, figures(1)).Quotes, observe(m, figures(2)).Quotes); n > 0 {
		t.Errorf("two tables of figures share %d quotes", n)
	}
}

func TestSystemPrompt(t *testing.T) {
	m := newMeter(t)
	a := measured(m, palladium.Exchange{System: "Be kind.\n"})
	b := measured(m, palladium.Exchange{Messages: turns{{Role: "system", Text: "Be kind."}, user("Hi")}})
	c := measured(m, palladium.Exchange{System: "Be kinder."})
	if a.System == 0 || a.System != b.System || a.System == c.System || observe(m, "Be kind.").System != 0 {
		t.Error("a system prompt is not known by its text alone")
	}
	judge := palladium.Exchange{System: "You are a reward model. Score the completion."}
	if x, y := measured(m, judge), measured(m, judge); x.Cues != palladium.CueGrading || y.Cues != x.Cues {
		t.Errorf("cues of a system prompt: %v, then %v", measure.CueNames(x.Cues), measure.CueNames(y.Cues))
	}
}

func TestAddresses(t *testing.T) {
	m := newMeter(t)
	from := func(ip string) *palladium.Observation {
		return measured(m, palladium.Exchange{Client: palladium.Client{IP: ip}})
	}
	for _, c := range []struct {
		a, b    string
		ip, net bool // the same
	}{
		{"198.51.100.7", "198.51.100.7", true, true},
		{"198.51.100.7", "198.51.100.8", false, true},
		{"198.51.100.7", "198.51.101.7", false, false},
		{"198.51.100.7", "::ffff:198.51.100.7", true, true},
		{"198.51.100.7", "198.51.100.7:4711", true, true},
		{"2001:db8::1", "2001:DB8:0:0::1", true, true},
		{"2001:db8::1", "[2001:db8::1]:443", true, true},
		{"2001:db8::1", "2001:db8::1%eth0", true, true},
		{"2001:db8::1", "2001:db8:0:1::1", false, true},
		{"2001:db8::1", "2001:db8:1::1", false, false},
		{"::", "0.0.0.0", false, false},
	} {
		a, b := from(c.a), from(c.b)
		if a.IP == 0 || a.Net == 0 || (a.IP == b.IP) != c.ip || (a.Net == b.Net) != c.net {
			t.Errorf("%s and %s: same address %v, same net %v", c.a, c.b, a.IP == b.IP, a.Net == b.Net)
		}
		if m.Hash(measure.FamilyIP, c.a) != a.IP || m.Hash(measure.FamilyNet, c.a) != a.Net {
			t.Errorf("%s: Hash and Measure do not agree", c.a)
		}
	}
	if o := from("not an address"); o.IP == 0 || o.Net != 0 || m.Hash(measure.FamilyNet, "not an address") != 0 {
		t.Error("a string that is no address needs a hash and no net")
	}
	if o := from(""); o.IP != 0 || o.Net != 0 || o.Client != 0 || o.Device != 0 || o.Credential != 0 {
		t.Error("what is absent is not zero")
	}
}

func TestHash(t *testing.T) {
	m, again := newMeter(t), newMeter(t)
	met := map[uint64]string{}
	for _, family := range []byte{measure.FamilyPayment, measure.FamilyBIN, measure.FamilyDevice, measure.FamilyEmailDomain, measure.FamilyIP} {
		if m.Hash(family, "") != 0 {
			t.Error("the empty string has a hash")
		}
		for i := range 20_000 { // more than are remembered
			s := string(rune('a'+i%26)) + strings.Repeat("x", i/26%40) + string(rune(0x4e00+i))
			h := m.Hash(family, s)
			if before, ok := met[h]; ok {
				t.Fatalf("%c %q and %s have one hash", family, s, before)
			}
			met[h] = string(family) + s
		}
		if m.Hash(family, "value") != again.Hash(family, "value") {
			t.Error("two Meters of one key do not agree")
		}
	}
	dev := measured(m, palladium.Exchange{Client: palladium.Client{Device: "d1"}})
	if dev.Device != m.Hash(measure.FamilyDevice, "d1") {
		t.Error("an account's device and a client's have different hashes")
	}
}

func TestClient(t *testing.T) {
	m := newMeter(t)
	base := palladium.Client{TLS: "t13", Headers: "h", UserAgent: "ua"}
	with := func(c palladium.Client) *palladium.Observation { return measured(m, palladium.Exchange{Client: c}) }
	o := with(base)
	for i, c := range []palladium.Client{
		{TLS: "t12", Headers: "h", UserAgent: "ua"}, {TLS: "t13", Headers: "i", UserAgent: "ua"}, {TLS: "t13", Headers: "h", UserAgent: "ub"},
		{TLS: "h", Headers: "t13", UserAgent: "ua"}, {TLS: "t13", Headers: "h"}, {},
	} {
		if with(c).Client == o.Client {
			t.Errorf("tuple %d is taken for another", i)
		}
	}
	same := base
	same.IP, same.Device, same.Country, same.ASN = "198.51.100.1", "d", "NL", 64500
	if p := with(same); p.Client != o.Client || p.ASN != 64500 {
		t.Error("the client tuple depends on more than TLS, headers and user agent")
	}
}

func TestParameters(t *testing.T) {
	m := newMeter(t)
	const all = palladium.HasTemperature | palladium.HasTopP | palladium.HasMaxTokens | palladium.HasN | palladium.HasLogprobs |
		palladium.HasTopLogprobs | palladium.HasReasoning | palladium.HasStop
	base := palladium.Params{Has: all, Temperature: 0.7, TopP: 1, MaxTokens: 100, N: 1, TopLogprobs: 3, Reasoning: "high", Stop: []string{"\n", "END"}}
	hash := func(change func(*palladium.Params)) uint64 {
		p := base
		p.Stop = slices.Clone(base.Stop)
		change(&p)
		return measured(m, palladium.Exchange{Params: p}).Params
	}
	seen := map[uint64]int{}
	for i, change := range []func(*palladium.Params){
		func(*palladium.Params) {},
		func(p *palladium.Params) { p.Temperature = 0 },
		func(p *palladium.Params) { p.Has &^= palladium.HasTemperature },
		func(p *palladium.Params) { p.TopP = 0.9 },
		func(p *palladium.Params) { p.MaxTokens = 101 },
		func(p *palladium.Params) { p.N = 2 },
		func(p *palladium.Params) { p.Logprobs = true },
		func(p *palladium.Params) { p.TopLogprobs = 4 },
		func(p *palladium.Params) { p.Reasoning = "low" },
		func(p *palladium.Params) { p.Stop = p.Stop[:1] },
		func(p *palladium.Params) { p.Stop[0], p.Stop[1] = p.Stop[1], p.Stop[0] },
		func(p *palladium.Params) { p.Has |= palladium.HasLogitBias },
		func(p *palladium.Params) { p.TopP, p.Temperature = p.Temperature, p.TopP },
	} {
		h := hash(change)
		if j, ok := seen[h]; ok || h == 0 {
			t.Errorf("tuples %d and %d have the hash %x", i, j, h)
		}
		seen[h] = i
	}
	if hash(func(p *palladium.Params) {
		p.Has |= palladium.HasSeed | palladium.HasStream
		p.Seed, p.Stream = 4, true
	}) != hash(func(*palladium.Params) {}) {
		t.Error("seed or stream are part of the tuple")
	}
	if hash(func(p *palladium.Params) { p.Temperature = math.Copysign(0, -1) }) != hash(func(p *palladium.Params) { p.Temperature = 0 }) {
		t.Error("minus zero is another temperature than zero")
	}
	none := measured(m, palladium.Exchange{Params: palladium.Params{Has: palladium.HasSeed, Seed: 1}})
	if none.Params != 0 || none.ParamHas != palladium.HasSeed {
		t.Error("a request without parameters has a tuple")
	}
	tools := func(names ...string) uint64 { return measured(m, palladium.Exchange{Tools: names}).Tools }
	if tools() != 0 || tools("a", "b") == tools("b", "a") || tools("ab") == tools("a", "b") {
		t.Error("tools are not hashed as the list that they are")
	}
}

func TestProbe(t *testing.T) {
	m := newMeter(t)
	bias := []palladium.TokenBias{{Token: 5, Bias: 100}, {Token: 9, Bias: 100}}
	const has = palladium.HasMaxTokens
	for _, c := range []struct {
		name string
		p    palladium.Params
		want bool
	}{
		{"plain", palladium.Params{Has: has, MaxTokens: 100}, false},
		{"bias and logprobs", palladium.Params{LogitBias: bias, Logprobs: true}, true},
		{"bias and alternatives", palladium.Params{LogitBias: bias, TopLogprobs: 2}, true},
		{"bias and one token", palladium.Params{Has: has, LogitBias: bias, MaxTokens: 1}, true},
		{"bias alone", palladium.Params{Has: has, LogitBias: bias, MaxTokens: 100}, false},
		{"logprobs alone", palladium.Params{Logprobs: true, TopLogprobs: 5}, false},
		{"alternatives of one token", palladium.Params{Has: has, TopLogprobs: 5, MaxTokens: 1}, true},
		{"a classifier's logprobs", palladium.Params{Has: has, TopLogprobs: 2, MaxTokens: 1, Logprobs: true}, false},
		{"alternatives, no limit sent", palladium.Params{TopLogprobs: 20}, false},
	} {
		o := measured(m, palladium.Exchange{Params: c.p})
		if got := o.Cues == palladium.CueProbe; got != c.want || len(o.Biased) != len(c.p.LogitBias) {
			t.Errorf("%s: probe %v, %d biased tokens", c.name, got, len(o.Biased))
		}
	}
	o := measured(m, palladium.Exchange{Params: palladium.Params{Has: has, MaxTokens: 1, TopLogprobs: 1000, LogitBias: make([]palladium.TokenBias, 2000)}})
	if len(o.Biased) != measure.MaxBiased || o.TopLogprobs != 255 || o.MaxTokens != 1 {
		t.Errorf("%d biased tokens, top_logprobs %d", len(o.Biased), o.TopLogprobs)
	}
	if o := measured(m, palladium.Exchange{Params: palladium.Params{TopLogprobs: -1, MaxTokens: -1}}); o.TopLogprobs != 0 || o.MaxTokens != 0 {
		t.Error("negative numbers are kept")
	}
}

// What an observation keeps must not change when the exchange's memory is used again.
func TestMemoryIsCopied(t *testing.T) {
	m := newMeter(t)
	id, finish := []byte("account-1"), []byte("stop")
	text := func(b []byte) string { return unsafeString(b) }
	o := measured(m, palladium.Exchange{Account: text(id), Outcome: palladium.Outcome{Finish: text(finish)}})
	copy(id, "XXXXXXXXX")
	copy(finish, "XXXX")
	if o.Account != "account-1" || o.Outcome.Finish != "stop" {
		t.Errorf("account %q, finish %q", o.Account, o.Outcome.Finish)
	}
	if o := measured(m, palladium.Exchange{Account: "account-1", Outcome: palladium.Outcome{Finish: "made up"}}); o.Account != "account-1" || o.Outcome.Finish != "other" {
		t.Errorf("account %q, finish %q", o.Account, o.Outcome.Finish)
	}
}

func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }
