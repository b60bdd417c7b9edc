package lineage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func oneFile(name, text string) File {
	return File{Path: name, Size: int64(len(text)), SHA256: ID([]byte(text))}
}

func dir(name string, role Role, texts ...string) Artifact {
	var files []File
	for i, text := range texts {
		files = append(files, oneFile(fmt.Sprintf("part-%d", i), text))
	}
	return NewDirectory(name, role, files, nil)
}

// record makes a record of a statement, and checks on the way that it is written and read.
func record(t testing.TB, s *Statement, standing Standing) Record {
	t.Helper()
	if s.Time.IsZero() {
		s.Time = day
	}
	payload, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	return Record{ID: ID(payload), Statement: again, Standing: standing, Signer: "key abc", Note: "a reason"}
}

// house is data -> base -> tuned -> small, with an evaluation.
type house struct {
	data, base, tuned, small Artifact
	records                  []Record
}

func build(t testing.TB) *house {
	h := &house{data: dir("data", Data, "rows"), base: dir("base", Model, "w0"), tuned: dir("tuned", Model, "w1", "x"), small: dir("small", Model, "q")}
	for _, s := range []*Statement{
		{Step: Dataset, Outputs: []Artifact{h.data}},
		{Step: Training, Inputs: []Artifact{h.data}, Outputs: []Artifact{h.base}},
		{Step: FineTune, Inputs: []Artifact{h.base, h.data}, Outputs: []Artifact{h.tuned}},
		{Step: Quantise, Inputs: []Artifact{h.tuned}, Outputs: []Artifact{h.small}, Transformation: &Transformation{Kind: "cast"}},
		{Step: Evaluate, Inputs: []Artifact{h.small}, Measures: []Measure{{"accuracy", 0.5}}},
	} {
		h.records = append(h.records, record(t, s, Trusted))
	}
	return h
}

func kinds(tr *Trace) (out []string) {
	for i := range tr.Findings {
		f := string(tr.Findings[i].Kind)
		if !tr.Findings[i].Fatal {
			f = "(" + f + ")"
		}
		out = append(out, f)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestAttacks changes what a store holds, or what a model is, in every way that should be found.
func TestAttacks(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(h *house, o *Options)
		want string // kinds of findings, those that are not fatal in brackets
	}{
		{"nothing", func(*house, *Options) {}, ""},
		{"a statement is removed", func(h *house, _ *Options) { h.records = slices.Delete(h.records, 2, 3) }, "missing"},
		{"a statement in the middle is removed and named", func(h *house, _ *Options) {
			h.records[3].Statement.Inputs[0].Statement = h.records[2].ID
			h.records = slices.Delete(h.records, 2, 3)
		}, "lost,missing"},
		{"the model is swapped", func(h *house, _ *Options) { h.small = dir("small", Model, "other") }, "missing"},
		{"a file of the model is renamed", func(h *house, _ *Options) {
			h.small = NewDirectory("small", Model, []File{oneFile("part-1", "q")}, nil)
		}, "missing"},
		{"two files of a parent change places", func(h *house, _ *Options) {
			h.records[3].Statement.Inputs[0] = dir("tuned", Model, "x", "w1")
		}, "missing"},
		{"a file is added to the model", func(h *house, _ *Options) { h.small = dir("small", Model, "q", "code") }, "missing"},
		{"a statement is unsigned", func(h *house, _ *Options) { h.records[1].Standing = Unsigned }, "unsigned"},
		{"a statement is signed by another", func(h *house, _ *Options) { h.records[1].Standing = Untrusted }, "untrusted"},
		{"a statement is forged", func(h *house, _ *Options) { h.records[1].Standing = Forged }, "forged,missing"},
		{"a statement is no statement", func(h *house, _ *Options) {
			h.records[1].Standing, h.records[1].Statement = Malformed, nil
		}, "forged,missing"},
		{"somebody else states another parent", func(h *house, _ *Options) {
			evil := Statement{Step: Quantise, Time: day, Inputs: []Artifact{dir("evil", Model, "evil")}, Outputs: []Artifact{h.small}}
			h.records = append(h.records, Record{ID: "evil", Statement: &evil, Standing: Untrusted})
		}, ""},
		{"somebody who is trusted states another parent", func(h *house, _ *Options) {
			other := Statement{Step: Quantise, Time: day, Inputs: []Artifact{h.base}, Outputs: []Artifact{h.small}}
			h.records = append(h.records, Record{ID: "z", Statement: &other, Standing: Trusted})
		}, "conflict"},
		{"a cycle", func(h *house, _ *Options) {
			h.records[1].Statement.Inputs = []Artifact{h.small}
		}, "cyclic"},
		{"a step with itself", func(h *house, _ *Options) {
			h.records[3].Statement.Inputs = []Artifact{h.small}
		}, "missing"},
		{"a step from nothing", func(h *house, _ *Options) { h.records[1].Statement.Inputs = nil }, "sourceless"},
		{"a command that failed", func(h *house, _ *Options) {
			h.records[2].Statement.Command = &Command{Arguments: []string{"x"}, Status: 1}
		}, "failed"},
		{"an input that changed", func(h *house, _ *Options) { h.records[2].Statement.Inputs[0].Changed = true }, "changed"},
		{"a file that nobody declared", func(h *house, _ *Options) {
			h.records[2].Statement.Observed = &Observed{Reads: []Seen{{Path: "secret.bin"}}}
		}, "(undeclared)"},
		{"only claims", func(_ *house, o *Options) { o.Require = Measured }, "claimed"},
		{"doing it again differs", func(h *house, o *Options) {
			o.Evidence = map[string]Evidence{h.records[3].ID: {Refuted, "tensor w"}}
		}, "refuted"},
		{"doing it again agrees, others are claimed", func(h *house, o *Options) {
			o.Require = Recomputed
			o.Evidence = map[string]Evidence{h.records[3].ID: {Recomputed, ""}}
		}, "claimed"},
		{"all edges are good enough", func(h *house, o *Options) {
			o.Require = Measured
			o.Evidence = map[string]Evidence{h.records[3].ID: {Recomputed, ""}, h.records[2].ID: {Measured, ""}}
		}, ""},
		{"a root that is taken", func(h *house, o *Options) {
			h.records = slices.Delete(h.records, 0, 2)
			o.Roots = map[string]bool{h.base.Identity(): true, h.data.Identity(): true}
		}, ""},
		{"a root of the same name", func(h *house, o *Options) {
			h.records = slices.Delete(h.records, 0, 2)
			other := dir("base", Model, "evil")
			o.Roots = map[string]bool{other.Identity(): true, h.data.Identity(): true}
		}, "missing"},
		{"unsigned, accepted", func(h *house, o *Options) { h.records[1].Standing, o.Unsigned = Unsigned, true }, "(unsigned)"},
		{"an unknown model", func(h *house, _ *Options) { h.records = nil }, "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := build(t)
			var o Options
			c.do(h, &o)
			tr := NewGraph(h.records).Walk(h.small, o)
			if got := strings.Join(kinds(tr), ","); got != c.want {
				t.Errorf("found %q, not %q: %v", got, c.want, tr.Findings)
			}
			if fatal := c.want != "" && !strings.HasPrefix(c.want, "("); tr.Holds() == fatal {
				t.Errorf("holds is %v", tr.Holds())
			}
		})
	}
}

func TestWalk(t *testing.T) {
	h := build(t)
	tr := NewGraph(h.records).Walk(h.small, Options{Evidence: map[string]Evidence{h.records[3].ID: {Recomputed, "done again"}}})
	if len(tr.Nodes) != 4 || len(tr.Edges) != 4 || len(tr.Uses) != 1 || tr.Weakest() != Claimed {
		t.Errorf("%d nodes, %d edges, %d uses, weakest %s", len(tr.Nodes), len(tr.Edges), len(tr.Uses), tr.Weakest())
	}
	var text, dot, page bytes.Buffer
	for _, err := range []error{tr.Text(&text), tr.DOT(&dot), tr.HTML(&page)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"└─ tuned", "model of quantise, recomputed", "root", "used by evaluate"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if !strings.Contains(dot.String(), `[label="quantise\nrecomputed`) {
		t.Errorf("%s", &dot)
	}
	for _, bad := range []string{"http://", "https://", "src=", "<script"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// TestHostileNames puts what a terminal, DOT or HTML could take for its own into names.
func TestHostileNames(t *testing.T) {
	a := dir("<script>alert(1)</script>\x1b[2J\"];\nx", Model, "w")
	tr := NewGraph([]Record{record(t, &Statement{Step: Training, Inputs: []Artifact{dir("d", Data, "r")}, Outputs: []Artifact{a}}, Trusted)}).Walk(a, Options{})
	var text, dot, page bytes.Buffer
	_, _, _ = tr.Text(&text), tr.DOT(&dot), tr.HTML(&page)
	if strings.ContainsAny(text.String(), "\x1b") || strings.Contains(dot.String(), "\x1b") || strings.Contains(page.String(), "<script>") {
		t.Errorf("%q\n%q\n%q", &text, &dot, &page)
	}
	if !strings.Contains(dot.String(), `\"];`) {
		t.Errorf("%s", &dot)
	}
}

// TestMember walks from a file of a directory, as a host that has one shard does.
func TestMember(t *testing.T) {
	h := build(t)
	one := NewFile("shard", Model, oneFile("anything", "w1"))
	tr := NewGraph(h.records).Walk(one, Options{})
	if !tr.Holds() || len(tr.Edges) != 4 {
		t.Errorf("%v %v", tr.Findings, tr.Edges)
	}
}

func TestLongChain(t *testing.T) {
	var records []Record
	last := dir("m", Model, "0")
	records = append(records, record(t, &Statement{Step: Training, Inputs: []Artifact{dir("d", Data, "d")}, Outputs: []Artifact{last}}, Trusted))
	for i := range 3000 {
		next := dir("m", Model, fmt.Sprint(i+1))
		records = append(records, record(t, &Statement{Step: Checkpoint, Inputs: []Artifact{last}, Outputs: []Artifact{next}}, Trusted))
		last = next
	}
	tr := NewGraph(records).Walk(last, Options{})
	if len(tr.Nodes) != 3002 || kinds(tr)[0] != "missing" { // the data
		t.Errorf("%d nodes, %v", len(tr.Nodes), kinds(tr))
	}
	var b bytes.Buffer
	if err := tr.HTML(&b); err != nil {
		t.Fatal(err)
	}
}

func TestParseRefuses(t *testing.T) {
	h := build(t)
	good, err := Encode(h.records[2].Statement)
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, bad := range map[string]string{
		"empty":               "",
		"cut off":             text[:len(text)-1],
		"more behind":         text + "{}",
		"a line break":        text + "\n",
		"spaces":              strings.Replace(text, `"step":`, `"step": `, 1),
		"a key twice":         strings.Replace(text, `"step":"fine-tune"`, `"step":"merge","step":"fine-tune"`, 1),
		"a key in capitals":   strings.Replace(text, `"step"`, `"Step"`, 1),
		"an unknown key":      strings.Replace(text, `"step"`, `"extra":1,"step"`, 1),
		"another type":        strings.Replace(text, "in-toto.io", "example.com", 1),
		"another predicate":   strings.Replace(text, "fine-tune/v1", "merge/v1", 1),
		"another step":        strings.ReplaceAll(text, "fine-tune", "guess"),
		"another subject":     strings.Replace(text, `"subject":[{"name":"tuned"`, `"subject":[{"name":"other"`, 1),
		"another digest":      strings.Replace(text, h.tuned.Digest[digestDir], strings.Repeat("0", 64), 1),
		"all digests":         strings.ReplaceAll(text, h.tuned.Digest[digestDir], strings.Repeat("0", 64)),
		"a size":              strings.Replace(text, `"size":2`, `"size":3`, 1),
		"a file that escapes": strings.ReplaceAll(text, "part-0", "../part-0"),
		"a time with a zone":  strings.Replace(text, "00:00:00Z", "00:00:00+01:00", 1),
	} {
		if text == bad {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	a, d := dir("a", Model, "1"), dir("d", Data, "2")
	for name, s := range map[string]Statement{
		"no output":      {Step: Merge, Inputs: []Artifact{a}},
		"no step":        {Outputs: []Artifact{a}},
		"a name twice":   {Step: Merge, Outputs: []Artifact{a, a}},
		"no time":        {Step: Merge, Inputs: []Artifact{d}, Outputs: []Artifact{a}},
		"no command":     {Step: Merge, Outputs: []Artifact{a}, Command: &Command{}, Time: day},
		"no commit":      {Step: Merge, Outputs: []Artifact{a}, Source: &Source{Commit: "HEAD"}, Time: day},
		"use of nothing": {Step: Deploy, Inputs: []Artifact{d}, Time: day},
		"a role":         {Step: Merge, Outputs: []Artifact{{Name: "x", Role: "king", Form: OneFile}}, Time: day},
		"a file twice":   {Step: Merge, Outputs: []Artifact{NewDirectory("x", Model, []File{oneFile("a", "1"), oneFile("a", "2")}, nil)}, Time: day},
		"a line break":   {Step: Merge, Outputs: []Artifact{NewDirectory("x", Model, []File{oneFile("a\nb", "1")}, nil)}, Time: day},
		"an empty one":   {Step: Merge, Outputs: []Artifact{NewDirectory("x", Model, nil, nil)}, Time: day},
	} {
		if _, err := Encode(&s); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	rowed := func(name, text string, rows int64) File {
		f := oneFile(name, text)
		f.Rows = rows
		return f
	}
	files := []File{rowed("a", "aaaa", 4), rowed("b", "bbbb", 4), rowed("c", "cccc", 4)}
	want := NewDirectory("d", Data, files, nil)
	prefixes := map[string]string{"a4": ID([]byte("aaaa"))}
	for name, c := range map[string]struct {
		files []File
		want  string
	}{
		"nothing":           {files, ""},
		"two are swapped":   {[]File{rowed("a", "bbbb", 4), rowed("b", "aaaa", 4), files[2]}, "a swapped, b swapped"},
		"one is doubled":    {[]File{files[0], rowed("b", "aaaa", 4), files[2]}, "b swapped"},
		"rows are appended": {[]File{rowed("a", "aaaaxx", 6), files[1], files[2]}, "a appended"},
		"longer, another":   {[]File{files[0], rowed("b", "xxxxxx", 6), files[2]}, "b replaced"},
		"it is cut off":     {[]File{rowed("a", "aa", 2), files[1], files[2]}, "a truncated"},
		"same size":         {[]File{rowed("a", "aaax", 4), files[1], files[2]}, "a replaced"},
		"one is gone":       {files[:2], "c missing"},
		"one is new":        {append(slices.Clone(files), oneFile("e", "e")), "e added"},
		"one is renamed":    {[]File{files[0], files[1], rowed("z", "cccc", 4)}, "z renamed, c missing"},
	} {
		found := NewDirectory("d", Data, c.files, nil)
		diff, err := Compare(&want, &found, func(p string, n int64) (string, error) { return prefixes[fmt.Sprint(p, n)], nil })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range diff {
			got = append(got, d.Path+" "+string(d.Change))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, not %s", name, diff, c.want)
		}
	}
	ordered, other := NewList("l", Data, files), NewList("l", Data, []File{files[1], files[0], files[2]})
	if diff, _ := Compare(&ordered, &other, nil); len(diff) != 2 || diff[0].Change != Reordered || ordered.Identity() == other.Identity() {
		t.Errorf("%v", diff)
	}
}

// parquetFooter writes what is before and in the number of rows of a FileMetaData.
func parquetFooter(rows int64) []byte {
	b := []byte{0x15, 0x04} // 1: i32 version 2
	b = append(b, 0x19, 0x2c)
	b = append(b, 0x48, 0x06, 's', 'c', 'h', 'e', 'm', 'a', 0x15, 0x02, 0x00) // 4: name, 5: children
	b = append(b, 0x15, 0x04, 0x25, 0x00, 0x18, 0x01, 'x', 0x00)              // 1: type, 3: repetition, 4: name
	b = append(b, 0x16)
	b = binary.AppendUvarint(b, uint64(rows)<<1)
	return append(b, 0x19, 0x0c, 0x00)
}

func parquet(footer []byte) []byte {
	b := append([]byte("PAR1data"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, "PAR1"...)
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int64
	}{
		{"a.jsonl", "", 0}, {"a.jsonl", "{}\n{}\n", 2}, {"a.jsonl", "{}\n\n  \n{}", 2}, {"a.ndjson", strings.Repeat("{}\n", 100_000), 100_000},
		{"a.jsonl", strings.Repeat(" ", 100_000) + "1\n", 1}, {"a.parquet", string(parquet(parquetFooter(12345))), 12345}, {"a.txt", "a\nb\n", 0},
	} {
		n, _, err := Rows(strings.NewReader(c.text), int64(len(c.text)), c.name)
		if err != nil || n != c.want {
			t.Errorf("%s: %d, %v, not %d", c.name, n, err, c.want)
		}
	}
	good := parquet(parquetFooter(7))
	for name, bad := range map[string][]byte{"cut off": good[:len(good)-3], "short": []byte("PAR1"), "no rows": parquet([]byte{0x15, 0x04, 0x00}), "empty": parquet(nil), "below zero": parquet([]byte{0x36, 0x01})} {
		if _, _, err := Rows(bytes.NewReader(bad), int64(len(bad)), "x.parquet"); !errors.Is(err, ErrRows) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range build(f).records {
		data, _ := Encode(r.Statement)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Encode(s)
		if err != nil || !bytes.Equal(again, data) || !json.Valid(data) {
			t.Errorf("read and not written the same: %v", err)
		}
		g := NewGraph([]Record{{ID: ID(data), Statement: s, Standing: Trusted}})
		for i := range s.Outputs {
			tr := g.Walk(s.Outputs[i], Options{})
			_, _ = tr.Text(&bytes.Buffer{}), tr.DOT(&bytes.Buffer{})
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add(parquet(parquetFooter(3)), true)
	f.Add([]byte("{}\n{}"), false)
	f.Fuzz(func(t *testing.T, data []byte, columnar bool) {
		name := "x.jsonl"
		if columnar {
			name = "x.parquet"
		}
		if n, _, err := Rows(bytes.NewReader(data), int64(len(data)), name); err == nil && n < 0 {
			t.Error(n)
		}
	})
}
