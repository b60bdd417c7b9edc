package prose

import (
	"strings"
	"testing"
)

func TestEveryKindIsDeterministicVariedAndFilled(t *testing.T) {
	k, same, other := New(1), New(1), New(2)
	kinds := []struct {
		name     string
		say      func(k *Book, seed uint64) string
		distinct int // of 20,000
	}{
		{"ask", func(k *Book, s uint64) string { return string(k.Ask(nil, s%500, s, 0)) }, 15000},
		{"instruct", func(k *Book, s uint64) string { return string(k.Instruct(nil, s)) }, 17000},
		{"math", func(k *Book, s uint64) string { return string(k.Math(nil, s)) }, 19900},
		{"code", func(k *Book, s uint64) string { return string(k.Code(nil, s)) }, 10000},
		{"passage", func(k *Book, s uint64) string { return string(k.Passage(nil, s, 3)) }, 19990},
		{"answer", func(k *Book, s uint64) string { return string(k.Answer(nil, s, 60)) }, 19999},
		{"diff", func(k *Book, s uint64) string { return string(k.Diff(nil, 7, s)) }, 19900},
		{"homework", func(k *Book, s uint64) string { return string(k.Homework(nil, s%100, int(s/100))) }, 19000},
		{"support", func(k *Book, s uint64) string { return string(k.Support(nil, s%40, s)) }, 5000},
		{"system", func(k *Book, s uint64) string { return k.System(s) }, 19000},
		{"form", func(k *Book, s uint64) string { return strings.Join(k.Form(s, false), "_") }, 19000},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			seen := make(map[string]bool)
			differ := false
			for s := range uint64(20000) {
				text := kind.say(k, s)
				seen[text] = true
				if strings.Contains(text, "{n}") || strings.TrimSpace(text) == "" {
					t.Fatalf("seed %d: unfilled or empty text %q", s, text)
				}
				if s < 200 {
					if text != kind.say(same, s) {
						t.Fatalf("seed %d: not deterministic", s)
					}
					differ = differ || text != kind.say(other, s)
				}
			}
			if len(seen) < kind.distinct {
				t.Errorf("%d distinct texts of 20000, want %d", len(seen), kind.distinct)
			}
			if !differ && kind.name != "diff" && kind.name != "support" {
				t.Error("another book says the same")
			}
		})
	}
}

func TestParaphraseKeepsLengthAndChangesWords(t *testing.T) {
	k := New(1)
	const text = "Read the following text carefully. Then explain the complete reasoning and write the final answer."
	seen := make(map[string]bool)
	for s := range uint64(200) {
		p := string(k.Paraphrase(nil, text, s))
		if len(p) < len(text)/2 || len(p) > len(text)*2 {
			t.Fatalf("length %d of %q", len(p), p)
		}
		seen[p] = true
	}
	if len(seen) < 190 {
		t.Errorf("%d distinct paraphrases of 200", len(seen))
	}
}

func TestRemixReplacesAShare(t *testing.T) {
	k := New(1)
	text := strings.Repeat("install the driver before rebooting your machine ", 20)
	changed := 0
	for i, w := range strings.Fields(string(k.Remix(nil, text, 1, 1, 30))) {
		if i < 140 && !strings.Contains(text, w) {
			changed++
		}
	}
	if changed < 15 || changed > 60 {
		t.Errorf("%d words changed", changed)
	}
}

func BenchmarkAsk(b *testing.B) {
	k := New(1)
	var buf []byte
	b.ReportAllocs()
	for i := range b.N {
		buf = k.Ask(buf[:0], uint64(i%1000), uint64(i), 0)
	}
}

func BenchmarkAnswer(b *testing.B) {
	k := New(1)
	var buf []byte
	b.ReportAllocs()
	for i := range b.N {
		buf = k.Answer(buf[:0], uint64(i), 80)
	}
}
