package measure

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

// The most words that the measured part of a text can have: its bytes, and room for one step too many.
const maxWords = headBytes + tailBytes + 8

// words is one text as a stream of word hashes.
//
// A word is a run of letters, lower-cased. Where a script does not put spaces between words (Han, kana, Hangul, Thai,
// Lao, Khmer, Burmese) each character is one, so that word pairs are character pairs. A number is a word that swallows
// the letters after its first digit; class holds one and the same value for all numbers, exact tells them apart.
type words struct {
	fold  [2 * (headBytes + tailBytes)]byte // the text with case and white space folded, and room for one load
	f     int                               // bytes of fold in use
	used  int                               // most of them that any text took since all were wiped
	exact [maxWords]uint64
	class [maxWords]uint64
	at    [maxWords]uint32 // where in the text the word begins; beyond 4 GiB, modulo that
	n     int
	bytes int // of the text that were read
}

// forget wipes the text, and those read before it.
func (w *words) forget() {
	w.used = max(w.used, w.f)
	clear(w.fold[:min(w.used+8, len(w.fold))]) // letters are written eight at a time
	w.f, w.n, w.used = 0, 0, 0
}

// Classes of bytes.
const (
	byteMark   = iota // punctuation
	byteSpace         // and control characters
	byteLetter        // ASCII
	byteDigit         // ASCII
	byteMulti         // part of a longer character
)

// alphabet fills the byte tables.
func (m *Meter) alphabet() {
	for i := range 256 {
		c := byte(i)
		m.lower[i] = c
		switch {
		case c <= ' ' || c == 0x7f:
			m.class[i] = byteSpace
		case c >= 0x80:
			m.class[i] = byteMulti
		case 'a' <= c && c <= 'z':
			m.class[i] = byteLetter
		case 'A' <= c && c <= 'Z':
			m.class[i], m.lower[i] = byteLetter, c+'a'-'A'
		case '0' <= c && c <= '9':
			m.class[i] = byteDigit
		}
	}
}

// read turns a text into words and returns the hash of the whole with case and white space folded. Of a text longer
// than headBytes + tailBytes its start and its end become words, and what lies between counts in the hash as it stands.
func (m *Meter) read(s string) uint64 {
	m.text.used = max(m.text.used, m.text.f)
	m.text.f, m.text.n, m.text.bytes = 0, 0, len(s)
	var whole uint64
	if len(s) <= headBytes+tailBytes {
		m.scan(s, 0)
	} else {
		head, tail := cut(s)
		m.scan(s[:head], 0)
		m.scan(s[tail:], tail)
		m.text.bytes = head + len(s) - tail
		whole = xxh3.HashStringSeed(s[head:tail], m.textSeed)
	}
	f := m.text.fold[:m.text.f]
	if len(f) > 0 && f[len(f)-1] == ' ' {
		f = f[:len(f)-1]
	}
	if len(f) == 0 {
		return 0
	}
	h := xxh3.HashSeed(f, m.textSeed)
	if whole != 0 {
		h = mix(h^m.k[2], whole^m.k[3])
	}
	return nonzero(h)
}

// cut returns where the head ends and the tail begins, on character boundaries.
func cut(s string) (head, tail int) {
	head, tail = headBytes, len(s)-tailBytes
	for i := 0; i < utf8.UTFMax && !utf8.RuneStart(s[head]); i++ {
		head--
	}
	for i := 0; i < utf8.UTFMax && tail < len(s)-1 && !utf8.RuneStart(s[tail]); i++ {
		tail++
	}
	return head, tail
}

// wordCount is the number of words of the text of n bytes that was read last; beyond the measured part it is
// extrapolated.
func (m *Meter) wordCount(n int) uint32 {
	if m.text.bytes == n || m.text.bytes == 0 {
		return clamp32(m.text.n)
	}
	return clamp32(int(float64(m.text.n) * float64(n) / float64(m.text.bytes)))
}

// scan appends the words of s, which begins at byte base of its text.
func (m *Meter) scan(s string, base int) {
	t := &m.text
	f, n := t.f, t.n
	for i := 0; i < len(s); {
		c := s[i]
		t.at[n] = uint32(base + i)
		switch m.class[c] {
		case byteLetter:
			start := f
			i, f = m.letters(s, i, f)
			if i < len(s) {
				c = s[i]
			}
			if i < len(s) && c >= utf8.RuneSelf {
				i, f = m.wordTail(s, i, f)
			}
			h := m.word(start, f)
			t.exact[n], t.class[n] = h, h
			n++
		case byteDigit:
			start := f
			i, f = m.digits(s, i, f)
			t.exact[n], t.class[n] = m.word(start, f), m.number
			n++
		case byteSpace:
			if f > 0 && t.fold[f-1] != ' ' {
				t.fold[f] = ' '
				f++
			}
			i++
		case byteMark:
			t.fold[f] = c
			f++
			i++
		default:
			i, f, n = m.foreign(s, i, f, n)
		}
	}
	t.f, t.n = f, n
}

// letters copies ASCII letters in lower case, eight bytes at a time: where a word ends is chance, so that a branch for
// every letter would cost more than all else about the word.
func (m *Meter) letters(s string, i, f int) (int, int) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	t := &m.text
	for i+8 <= len(s) && f+8 <= len(t.fold) {
		w := load(s, i)
		low := w | ones*0x20
		seven := low &^ tops
		letter := (seven + ones*(0x80-'a')) &^ (seven + ones*(0x80-'z'-1)) &^ w & tops
		binary.LittleEndian.PutUint64(t.fold[f:], low)
		n := bits.TrailingZeros64(^letter&tops) / 8
		i, f = i+n, f+n
		if n < 8 {
			return i, f
		}
	}
	for i < len(s) && m.class[s[i]] == byteLetter {
		t.fold[f] = m.lower[s[i]]
		i, f = i+1, f+1
	}
	return i, f
}

// digits copies a number: digits, letters that follow them, and a point or comma between two digits.
func (m *Meter) digits(s string, i, f int) (int, int) {
	for i < len(s) {
		c := s[i]
		if k := m.class[c]; k != byteDigit && k != byteLetter {
			if c != '.' && c != ',' || i+1 == len(s) || m.class[s[i+1]] != byteDigit || m.class[s[i-1]] != byteDigit {
				break
			}
		}
		m.text.fold[f] = m.lower[c]
		f++
		i++
	}
	return i, f
}

// Classes of characters beyond ASCII.
const (
	runeMark = iota
	runeSpace
	runeLetter
	runeAlone  // of a script without spaces between words
	runeDigit  // decimal digit of another script
	runeHidden // zero width: dropped, so that it cannot split a word
)

// foreign reads one character beyond ASCII and, where it begins a word, the word.
func (m *Meter) foreign(s string, i, f, n int) (int, int, int) {
	t := &m.text
	r, size := utf8.DecodeRuneInString(s[i:])
	start := f
	switch class, low := classify(r); class {
	case runeHidden:
		return i + size, f, n
	case runeSpace:
		if f > 0 && t.fold[f-1] != ' ' {
			t.fold[f] = ' '
			f++
		}
		return i + size, f, n
	case runeMark:
		f += copy(t.fold[f:], s[i:i+size])
		return i + size, f, n
	case runeAlone:
		f += copy(t.fold[f:], s[i:i+size])
		i += size
	case runeDigit:
		f += copy(t.fold[f:], s[i:i+size])
		for i += size; i < len(s); i += size {
			if r, size = utf8.DecodeRuneInString(s[i:]); r < utf8.RuneSelf || !unicode.IsDigit(r) {
				break
			}
			f += copy(t.fold[f:], s[i:i+size])
		}
		t.exact[n], t.class[n] = m.word(start, f), m.number
		return i, f, n + 1
	default:
		f += utf8.EncodeRune(t.fold[f:], low)
		i, f = m.wordTail(s, i+size, f)
	}
	h := m.word(start, f)
	t.exact[n], t.class[n] = h, h
	return i, f, n + 1
}

// wordTail copies the rest of a word that has letters beyond ASCII.
func (m *Meter) wordTail(s string, i, f int) (int, int) {
	t := &m.text
	for i < len(s) {
		c := s[i]
		if c < utf8.RuneSelf {
			if m.class[c] != byteLetter {
				break
			}
			t.fold[f] = m.lower[c]
			f++
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		class, low := classify(r)
		if class != runeLetter && class != runeHidden {
			break
		}
		if class == runeLetter {
			f += utf8.EncodeRune(t.fold[f:], low)
		}
		i += size
	}
	return i, f
}

// classify returns the class of a character beyond ASCII and its lower case. Common alphabets come first: the tables
// of package unicode cost tens of nanoseconds a character.
func classify(r rune) (class int, low rune) {
	switch {
	case r >= 0x410 && r <= 0x42f: // Cyrillic capitals
		return runeLetter, r + 0x20
	case r >= 0x430 && r <= 0x45f: // Cyrillic
		return runeLetter, r
	case r >= 0xdf && r <= 0xff && r != 0xf7: // Latin-1
		return runeLetter, r
	case r >= 0x620 && r <= 0x65f, r >= 0x5d0 && r <= 0x5ea: // Arabic with its vowel marks, Hebrew
		return runeLetter, r
	case r >= 0x3400 && r <= 0x9fff, r >= 0xac00 && r <= 0xd7a3, r >= 0x3041 && r <= 0x30ff && r != 0x30fb:
		return runeAlone, r // Han, Hangul, kana
	case r >= 0xe01 && r <= 0xe4e && r != 0xe3f, r >= 0xe81 && r <= 0xecd, r >= 0x1000 && r <= 0x103e,
		r >= 0x1780 && r <= 0x17d3, r >= 0x20000 && r <= 0x323af, r >= 0xf900 && r <= 0xfaff:
		return runeAlone, r // Thai, Lao, Burmese, Khmer, rare Han
	case r == utf8.RuneError:
		return runeMark, r
	case r >= 0x200b && r <= 0x200f, r == 0xad, r == 0x2060, r == 0xfeff, r >= 0x202a && r <= 0x202e:
		return runeHidden, r
	case unicode.IsLetter(r):
		return runeLetter, unicode.ToLower(r)
	case unicode.IsMark(r):
		return runeLetter, r
	case unicode.IsDigit(r):
		return runeDigit, r
	case unicode.IsSpace(r):
		return runeSpace, r
	case unicode.Is(unicode.Cf, r):
		return runeHidden, r
	}
	return runeMark, r
}

// word hashes fold[start:end]: up to sixteen bytes by two multiply-mix steps over two overlapping loads, which takes a
// third of the time of a call, and more by XXH3.
func (m *Meter) word(start, end int) uint64 {
	n := end - start
	if n > 16 {
		return xxh3.HashSeed(m.text.fold[start:end], m.wordSeed)
	}
	// No branch: the lengths of words are chance. y is zero up to eight bytes.
	b := m.text.fold[start:]
	x := binary.LittleEndian.Uint64(b) & (^uint64(0) >> (64 - 8*uint(min(n, 8))))
	y := binary.LittleEndian.Uint64(b[max(n-8, 0):]) & uint64(int64(8-n)>>63)
	return mix(mix(x^m.wordSeed, y^m.k[6])^uint64(n), m.k[7])
}

// tokens returns the word hashes of a phrase of the rule file.
func (m *Meter) tokens(phrase string) []uint64 {
	m.read(strings.TrimSpace(phrase))
	out := append([]uint64(nil), m.text.class[:m.text.n]...)
	m.text.forget()
	return out
}

// mix is one step of multiply-mix hashing (as in wyhash): the 128-bit product of two words, folded.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
