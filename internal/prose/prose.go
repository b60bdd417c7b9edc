// Package prose makes English texts of many kinds from a grammar and a seed: questions people type, tasks that
// programs send, instruction data, word problems, code tasks, support lines and answers. It knows nothing of the
// product and reads no files. Every text is a pure function of the book's seed and the seed given, so a text need
// not be stored to be said again.
package prose

import "strings"

// Book holds the word tables. It is immutable after New and safe for concurrent use.
type Book struct {
	seed     uint64
	topics   []topic
	names    []string
	cities   []string
	adverbs  []string
	adjs     []string
	goods    []string
	syllable []string
	asks     askTable
	tasks    taskTable
	synonyms map[string][]string
}

type topic struct {
	nouns, verbs []string
}

// New returns a book. Another seed gives other invented words, names of products and template wordings.
func New(seed uint64) *Book {
	k := &Book{
		seed:     Mix(seed, 0x70726f7365),
		names:    strings.Fields(nameWords),
		cities:   strings.Fields(cityWords),
		adverbs:  strings.Fields(adverbWords),
		adjs:     strings.Fields(adjectiveWords),
		goods:    strings.Fields(goodsWords),
		syllable: strings.Fields(syllableWords),
		asks:     newAskTable(),
		tasks:    newTaskTable(),
		synonyms: make(map[string][]string),
	}
	for _, line := range lines(topicWords) {
		n, v, _ := strings.Cut(line, "|")
		k.topics = append(k.topics, topic{strings.Fields(n), strings.Fields(v)})
	}
	for _, line := range lines(synonymWords) {
		group := strings.Split(line, ",")
		for _, w := range group {
			k.synonyms[w] = group
		}
	}
	return k
}

// Topics returns the number of topics.
func (k *Book) Topics() int { return len(k.topics) }

// Narrow returns a book with the same words that speaks of a few topics only, which follow from owner.
func (k *Book) Narrow(owner uint64, topics int) *Book {
	narrow := *k
	narrow.topics = make([]topic, 0, topics)
	for i := range uint64(topics) {
		narrow.topics = append(narrow.topics, k.topics[Mix(owner, 200+i)%uint64(len(k.topics))])
	}
	return &narrow
}

// lines splits a table into its non-empty lines.
func lines(table string) []string {
	var out []string
	for l := range strings.Lines(table) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// Mix hashes two words to one (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
func Mix(a, b uint64) uint64 {
	z := a ^ (b+0x9e3779b97f4a7c15)*0xbf58476d1ce4e5b9
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// dice is a SplitMix64 generator.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n returns a number in [0,n).
func (d *dice) n(n int) int { return int((d.next() >> 32) * uint64(n) >> 32) }

// chance reports true with probability p/100.
func (d *dice) chance(p int) bool { return d.n(100) < p }

func (d *dice) pick(list []string) string { return list[d.n(len(list))] }

// skewed returns a number in [0,n), small ones more often (density falls as the square root).
func (d *dice) skewed(n int) int {
	u := float64(d.next()>>11) / (1 << 53)
	return int(u * u * float64(n))
}

// scene is the vocabulary of one text: the topic and the words that recur in it.
type scene struct {
	d     dice
	topic *topic
	owner uint64 // words that the author uses again and again hang on this
}

// expand writes pattern to b and fills its slots:
// {n} noun {v} verb {a} adjective {r} adverb {p} person {c} place {g} goods {w} invented word {o} the author's own
// word {i} number {j} small number {f} file or identifier {d} date.
func (k *Book) expand(b []byte, s *scene, pattern string) []byte {
	for {
		i := strings.IndexByte(pattern, '{')
		if i < 0 || i+2 >= len(pattern) {
			return append(b, pattern...)
		}
		b = append(b, pattern[:i]...)
		b = k.slot(b, s, pattern[i+1])
		pattern = pattern[i+3:]
	}
}

func (k *Book) slot(b []byte, s *scene, code byte) []byte {
	switch code {
	case 'n':
		return append(b, s.d.pick(s.topic.nouns)...)
	case 'v':
		return append(b, s.d.pick(s.topic.verbs)...)
	case 'a':
		return append(b, s.d.pick(k.adjs)...)
	case 'r':
		return append(b, s.d.pick(k.adverbs)...)
	case 'p':
		return append(b, s.d.pick(k.names)...)
	case 'c':
		return append(b, s.d.pick(k.cities)...)
	case 'g':
		return append(b, s.d.pick(k.goods)...)
	case 'w':
		return k.word(b, s.d.next())
	case 'o':
		return k.word(b, Mix(s.owner, uint64(s.d.n(9))))
	case 'i':
		return number(b, 2+s.d.skewed(900))
	case 'j':
		return number(b, 2+s.d.n(11))
	case 'f':
		b = k.word(b, Mix(s.owner, uint64(20+s.d.n(40))))
		return append(b, s.d.pick(k.asks.ends)...)
	case 'd':
		b = number(b, 1+s.d.n(28))
		b = append(b, ' ')
		return append(b, s.d.pick(k.asks.months)...)
	}
	return b
}

// word appends an invented word that depends on seed alone: a product, a project, a surname.
func (k *Book) word(b []byte, seed uint64) []byte {
	d := dice(Mix(k.seed, seed))
	for range 2 + d.n(2) {
		b = append(b, d.pick(k.syllable)...)
	}
	return b
}

// Word returns an invented lower-case word.
func (k *Book) Word(seed uint64) string { return string(k.word(nil, seed)) }

func number(b []byte, n int) []byte {
	if n >= 10 {
		b = number(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// capital upper-cases the first letter written at or after from.
func capital(b []byte, from int) []byte {
	if from < len(b) && b[from] >= 'a' && b[from] <= 'z' {
		b[from] -= 'a' - 'A'
	}
	return b
}
