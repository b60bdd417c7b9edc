package prose

// askTable is what people's questions are put together from.
type askTable struct {
	openers, cores, contexts, closers, replies []string
	ends, months                               []string
}

func newAskTable() askTable {
	return askTable{
		openers: []string{"", "", "", "", "hey, ", "hi! ", "quick one: ", "so ", "ok, ", "hello, ", "sorry to bother, ",
			"morning. ", "been stuck for {j} hours. ", "my {n} is {a}. ", "after the {n} update: ", "not sure whom to ask: ",
			"{o} again. ", "two things. ", "for {p}: ", "weird one, "},
		cores: []string{
			"how do i {v} the {n} without {v}ing {n}", "why does my {n} {v} {r} when {n} is {a}", "what is a {a} {n} for {o}",
			"can you {v} this {n} so the {n} stays {a}", "is {o} better than a {a} {n}", "need a {a} {n} before {d}",
			"which {n} goes with {n} {i}", "the {n} in {f} keeps failing at line {i}", "explain {n} to {p}, who only knows {n}",
			"help me {v} {n} for {p} in {c}", "does {n} {r} {v} a {n}", "write something {a} about {n} and {o}",
			"{f} says {n} not found", "i want to {v} {i} {n} {r}", "difference between {n} and {a} {n}",
			"what would {p} say about the {n}", "give me {j} ideas to {v} {n} {r}", "is it ok to {v} a {a} {n} after {i} days",
			"turn my notes on {n} into a {a} {n}", "my {n} {o} will not {v}", "where in {c} do people {v} {n}",
			"translate '{a} {n} for {p}' please", "how many {n} per {n} is {a}", "should the {n} come before {n} {o}",
			"fix: {f} {n} {v} {i}", "what does {o} mean next to {n}", "plan {j} days of {n} in {c}",
			"is {p} right that {n} {v} {r}", "compare {o} with {o} on {n}", "someone told me to {v} {n}, why",
			"i keep getting {n} error {i} from {o}", "rewrite: {p} {r} {v} the {a} {n}", "{n}?",
			"make {n} {a} again", "any {a} way around {n} {v}ing", "draft a note to {p} about the {a} {n}",
		},
		contexts: []string{"", "", "", ". it is {a} and {a}", ", i already tried {n}", ". {p} has the same {n}", " on {o} {j}.{j}",
			". budget is {i}", " since {d}", ", in {c}", ". here is what i have: {n}, {n}, {a} {n}", " with only {j} {n}",
			". the {n} came from {c} {r}", " (the {a} one)", ". nothing in {f} helps", " while {p} uses the {n}",
			". last time {o} did it {r}", ", no {n} please"},
		closers: []string{"", "", "", "", "?", "??", ".", " thanks", ", thx", " - {p}", "! any idea?", " please.", ", cheers",
			" asap", " :)", "... help", ", one line is enough"},
		replies: []string{"ok and the {n}?", "that gave {n} {i} instead", "shorter please", "hmm, {o} still will not {v}",
			"what about {a} {n}", "and in {c}?", "can you {v} it {r}", "great. now the {n} for {p}", "no, the {a} one",
			"why {n}", "i meant {n}, not {n}", "{f} now says {a} {n}", "use {o} instead of {n}", "more about the {n}",
			"thanks, and if the {n} is {a}", "done. next {n}?", "does it also {v} {n}", "i do not get the {n} part",
			"say it as {p} would", "and then {v} the {n}?"},
		ends:   []string{".py", ".conf", ".txt", ".go", ".csv", ".js", ".tex", ".yml", ".c", "_id", ".log", ".md"},
		months: []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	}
}

// Ask appends what the person types at turn (0 opens a conversation). A person keeps to a few topics, invented
// words and habits of writing that follow from the person's number.
func (k *Book) Ask(b []byte, person, seed uint64, turn int) []byte {
	habit := dice(Mix(person, 1))
	focus := 2 + habit.n(4)
	upper, closer, wordy := habit.chance(40), habit.n(len(k.asks.closers)), habit.n(100)
	conv := dice(Mix(seed, person))
	which := conv.skewed(focus)
	if conv.chance(8) {
		which = 50 + conv.n(50)
	}
	s := &scene{d: dice(Mix(Mix(seed, uint64(turn)), person)), owner: person}
	s.topic = &k.topics[Mix(person, uint64(100+which))%uint64(len(k.topics))]
	from := len(b)
	if turn > 0 && s.d.chance(70) {
		b = k.expand(b, s, s.d.pick(k.asks.replies))
	} else {
		b = k.expand(b, s, s.d.pick(k.asks.openers))
		b = k.expand(b, s, s.d.pick(k.asks.cores))
		for s.d.n(100) < wordy/2+15 && len(b)-from < 700 {
			b = k.expand(b, s, s.d.pick(k.asks.contexts))
			if s.d.chance(30) {
				b = append(b, ". "...)
				b = k.expand(b, s, s.d.pick(k.asks.cores))
			}
		}
	}
	if s.d.chance(50) {
		b = k.expand(b, s, k.asks.closers[closer])
	} else {
		b = k.expand(b, s, s.d.pick(k.asks.closers))
	}
	if upper {
		b = capital(b, from)
	}
	return b
}

// Remix appends text with some of its longer words replaced by words of the person's own, so that one real text can
// serve several people without a long common run. percent is the share of longer words replaced.
func (k *Book) Remix(b []byte, text string, person, seed uint64, percent int) []byte {
	s := &scene{d: dice(Mix(seed, person)), owner: person}
	s.topic = &k.topics[Mix(person, uint64(100+s.d.skewed(4)))%uint64(len(k.topics))]
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && text[i] != ' ' && text[i] != '\n' {
			continue
		}
		word := text[start:i]
		switch {
		case len(word) >= 4 && s.d.chance(percent):
			b = k.slot(b, s, "nnvaoowpr"[s.d.n(9)])
		case len(word) < 4 && s.d.chance(percent/4): // dropped
		default:
			b = append(b, word...)
		}
		if i < len(text) {
			b = append(b, text[i])
		}
		start = i + 1
	}
	return b
}
