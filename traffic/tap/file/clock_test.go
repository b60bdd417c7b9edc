package file

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const dayOf = 86_400.0 // seconds

// lines writes exchanges named by their number at the given seconds.
func lines(seconds []float64) string {
	var b strings.Builder
	for i, s := range seconds {
		b.WriteString(ex(fmt.Sprint(i), s))
	}
	return b.String()
}

// steady is n exchanges every ten minutes.
func steady(n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = float64(i) * 600
	}
	return s
}

// TestImplausibleTimes changes a few times of a file and says which lines are left out.
func TestImplausibleTimes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	at := func(times map[int]float64) []float64 {
		s := steady(1000)
		for i, x := range times {
			s[i] = x
		}
		return s
	}
	gap := func(from int, days float64) []float64 {
		s := steady(1000)
		for i := from; i < len(s); i++ {
			s[i] += days * dayOf
		}
		return s
	}
	shuffled := steady(5000)
	rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	third := steady(1000)
	var others []int
	for i := range third {
		if i%7 == 3 || i%7 == 4 {
			third[i] += 400 * dayOf
			others = append(others, i+1)
		}
	}
	for _, c := range []struct {
		name    string
		seconds []float64
		lines   []int // rejected
	}{
		{"nothing", steady(1000), nil},
		{"ten years", at(map[int]float64{500: 3650 * dayOf}), []int{501}},
		{"three days", at(map[int]float64{500: 500*600 + 3*dayOf}), []int{501}},
		{"twenty hours", at(map[int]float64{500: 500*600 + 20*3600}), nil},
		{"the first", at(map[int]float64{0: 3650 * dayOf}), []int{1}},
		{"the first two", at(map[int]float64{0: 3650 * dayOf, 1: 90 * dayOf}), []int{1, 2}},
		{"the last", at(map[int]float64{999: 90 * dayOf}), []int{1000}},
		{"the last two", at(map[int]float64{998: 90 * dayOf, 999: 91 * dayOf}), []int{999, 1000}},
		{"many", third, others},
		{"the first, long ago", at(map[int]float64{0: -20 * 365 * dayOf}), []int{1}},
		{"one, long ago", at(map[int]float64{500: -20 * 365 * dayOf}), []int{501}},
		{"a gap of three days", gap(500, 3), nil},
		{"a gap of three years", gap(500, 3*365), nil},
		{"a gap before the last", gap(998, 4), nil},
		{"no order", shuffled, nil},
		{"few, days apart", []float64{0, 3 * dayOf, 9 * dayOf, 70 * dayOf}, nil},
		{"two, in no order", []float64{5 * dayOf, 0}, nil},
		{"few, one far ahead", []float64{0, 1, 2000 * dayOf, 3}, []int{3}},
		{"few, the last far ahead", []float64{0, 1, 3, 2000 * dayOf}, []int{4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "f.jsonl", []byte(lines(c.seconds)))
			g := read(t, Options{Paths: []string{dir}})
			var got []int
			for _, r := range g.rejects {
				if !strings.Contains(r.Reason, "the rest of the file: check the clock of the writer") {
					t.Error(r)
				}
				got = append(got, int(r.Line))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.lines) || len(g.ids) != len(c.seconds)-len(c.lines) {
				t.Errorf("lines %v were left out, want %v; %d exchanges", got, c.lines, len(g.ids))
			}
		})
	}
}

// TestImplausibleTimesAtBlockEnds has lines so long that each is a block of its own.
func TestImplausibleTimesAtBlockEnds(t *testing.T) {
	var b strings.Builder
	pad := strings.Repeat("x", blockSize)
	for i := range 30 {
		at := start().Add(time.Duration(i) * time.Minute)
		if i == 7 || i == 20 {
			at = at.AddDate(4, 0, 0)
		}
		fmt.Fprintf(&b, `{"kind":"exchange","id":"%d","time":%q,"account":"a","system":%q}`+"\n", i, at.Format(time.RFC3339), pad)
	}
	dir := t.TempDir()
	write(t, dir, "a.jsonl", []byte(b.String()))
	write(t, dir, "b.jsonl", []byte(ex("b5", 5*60+1)+ex("b20", 20*60+1)))
	g := read(t, Options{Paths: []string{dir}})
	g.wantReject(t, "a.jsonl", 8, "4 years after the rest of the file")
	g.wantReject(t, "a.jsonl", 21, "4 years after the rest of the file")
	if len(g.rejects) != 2 || len(g.ids) != 30 || g.ids[6] != "b5" {
		t.Errorf("got %v, %v", g.rejects, g.ids)
	}
}

// TestClockIsKept resumes where the only new line is years ahead of what was read.
func TestClockIsKept(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "f.jsonl", []byte(lines(steady(200))))
	g := read(t, Options{Paths: []string{path}})
	write(t, dir, "f.jsonl", []byte(lines(steady(200))+ex("far", 3000*dayOf)))
	g = read(t, Options{Paths: []string{path}, Resume: g.stats.Position})
	g.want(t, "")
	g.wantReject(t, "f.jsonl", 201, "8 years after the rest of the file")
	write(t, dir, "f.jsonl", []byte(lines(steady(200))+ex("far", 3000*dayOf)+ex("fine", 201*600)))
	g = read(t, Options{Paths: []string{path}, Resume: g.stats.Position})
	g.want(t, "fine")
}

// TestUntilHoldsTheFile leaves for a later reading what a first one does not want.
func TestUntilHoldsTheFile(t *testing.T) {
	for _, how := range []string{"", "gzip"} {
		dir := t.TempDir()
		text := ex("x1", 1) + "bad\n" + ex("x2", 2) + "\n" + ex("x3", 3) + ex("x2.5", 2.5) + "bad\n" + ex("x4", 4)
		write(t, dir, "f.jsonl", pack(t, how, text))
		write(t, dir, "g.jsonl", pack(t, how, ex("y5", 5)))
		write(t, dir, "h.jsonl", pack(t, how, ex("z0", 0)+ex("z1", 1.5)))
		o := Options{Paths: []string{dir}, Until: start().Add(3 * time.Second), Hold: true}
		g := read(t, o)
		g.want(t, "z0 x1 z1 x2")
		if g.stats.Held != 2 || len(g.rejects) != 1 {
			t.Errorf("got %+v, %v", g.stats, g.rejects)
		}
		g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
		g.want(t, "x3 x2.5 x4 y5")
		g.wantReject(t, "f.jsonl", 7, "invalid JSON")
		if len(g.rejects) != 1 {
			t.Errorf("got %v", g.rejects)
		}
	}
}

// TestHeldLinesStayWhole: the records of a line are judged one by one, and held together.
func TestHeldLinesStayWhole(t *testing.T) {
	dir := t.TempDir()
	var two strings.Builder
	for i, sec := range []int64{0, 10} {
		if i > 0 {
			two.WriteByte(',')
		}
		fmt.Fprintf(&two, `{"traceId":"t","spanId":"%d","startTimeUnixNano":"%d","attributes":[{"key":"gen_ai.operation.name","value":`+
			`{"stringValue":"chat"}},{"key":"user.id","value":{"stringValue":"u"}}]}`, i, start().UnixNano()+sec*1e9)
	}
	write(t, dir, "f.jsonl", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[`+two.String()+`]}]}]}`+"\n"))
	g := read(t, Options{Paths: []string{dir}, Formats: formats(), Until: start().Add(5 * time.Second)})
	g.want(t, "t-0")
	g = read(t, Options{Paths: []string{dir}, Formats: formats(), Until: start().Add(5 * time.Second), Hold: true})
	g.want(t, "")
	g = read(t, Options{Paths: []string{dir}, Formats: formats(), Resume: g.stats.Position})
	g.want(t, "t-0 t-1")
}
