package pickle

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/weights/inspect"
)

func model(t testing.TB) *Rules {
	t.Helper()
	r, err := ParseRules(rules.Model())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func look(t testing.TB, name string, data []byte) inspect.Report {
	t.Helper()
	in := inspect.Inspector{Formats: []inspect.Format{Format(model(t))}, Limits: inspect.DefaultLimits()}
	r, err := in.Inspect(t.Context(), name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func str(s string) string { return "\x8c" + string(rune(len(s))) + s }
func frame(s string) string {
	return "\x95" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(s)))) + s
}
func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
func binBytes(s string) string {
	return "B" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

const system = "cos\nsystem\n(S'true'\ntR."

func TestBypasses(t *testing.T) {
	call := str("os") + str("system") + "\x93" + str("true") + "\x85R"
	for name, c := range map[string]struct {
		data string
		want inspect.Verdict
		rule inspect.Rule
	}{
		"protocol 0 without a mark":       {system, inspect.Hostile, inspect.RuleGlobal},
		"protocol 2":                      {"\x80\x02" + system, inspect.Hostile, inspect.RuleGlobal},
		"stack global":                    {"\x80\x04" + frame(call+"."), inspect.Hostile, inspect.RuleGlobal},
		"broken after the payload":        {"\x80\x04" + call + "\xff", inspect.Hostile, inspect.RuleBroken},
		"ends after the payload":          {"\x80\x04" + call, inspect.Hostile, inspect.RuleGlobal},
		"ends within the name":            {"\x80\x02cos\nsystem", inspect.Hostile, inspect.RuleBroken},
		"underflow before the payload":    {"\x80\x040" + call + ".", inspect.Hostile, inspect.RuleGlobal},
		"dotted name of a harmless root":  {"\x80\x04" + str("torch") + str("serialization.os.system") + "\x93)R.", inspect.Hostile, inspect.RuleGlobal},
		"submodule of what is denied":     {"\x80\x02casyncio.unix_events\n_UnixSubprocessTransport._start\n)R.", inspect.Hostile, inspect.RuleGlobal},
		"attribute of an allowed name":    {"\x80\x04" + str("collections") + str("OrderedDict.__init__.__globals__") + "\x93)R.", inspect.Suspicious, inspect.RuleGlobal},
		"submodule of what is allowed":    {"\x80\x02ccollections.abc\nx\n)R.", inspect.Suspicious, inspect.RuleGlobal},
		"universal gadget":                {"\x80\x04" + str("pkgutil") + str("resolve_name") + "\x93" + str("os:system") + "\x85R" + str("true") + "\x85R.", inspect.Hostile, inspect.RuleGlobal},
		"call of a computed value":        {"\x80\x02ccollections\ndefaultdict\n)R)R.", inspect.Suspicious, inspect.RuleCall},
		"names through the memo":          {"\x80\x04" + str("system") + "\x940" + str("os") + "\x940h\x01h\x00\x93)R.", inspect.Hostile, inspect.RuleGlobal},
		"names through a sparse memo":     {"\x80\x04" + str("system") + "q\x400" + str("os") + "\x940h\x01h\x40\x93)R.", inspect.Hostile, inspect.RuleGlobal},
		"names in text with escapes":      {"\x80\x04S'\\x6fs'\nV\\u0073ystem\n\x93)R.", inspect.Hostile, inspect.RuleGlobal},
		"names in octal":                  {"\x80\x04S'\\157s'\nS'system'\n\x93)R.", inspect.Hostile, inspect.RuleGlobal},
		"computed name":                   {"\x80\x04" + str("os") + "c_codecs\nencode\n" + str("system") + "\x85R\x93)R.", inspect.Suspicious, inspect.RuleGlobal},
		"second stream":                   {"\x80\x02N.\x80\x02" + system, inspect.Hostile, inspect.RuleGlobal},
		"second stream without a mark":    {"\x80\x02N." + system, inspect.Hostile, inspect.RuleGlobal},
		"bytes after the stop":            {"\x80\x02N.\x00\x00\x00", inspect.Suspicious, inspect.RuleTail},
		"nested in bytes":                 {"\x80\x03" + binBytes("\x80\x02"+system) + ".", inspect.Hostile, inspect.RuleNested},
		"nested twice":                    {"\x80\x03" + binBytes("\x80\x02"+binBytes(system)+".") + ".", inspect.Hostile, inspect.RuleNested},
		"nested in base64":                {"\x80\x04" + str(b64("\x80\x02"+system)) + ".", inspect.Hostile, inspect.RuleNested},
		"nested without a mark in base64": {"\x80\x04" + str(b64(system)) + ".", inspect.Hostile, inspect.RuleNested},
		"nested in a text line":           {"V" + b64("\x80\x02"+system) + "\n.", inspect.Hostile, inspect.RuleNested},
		"INST":                            {"(S'true'\nios\nsystem\n.", inspect.Hostile, inspect.RuleGlobal},
		"OBJ":                             {"\x80\x02(cos\nsystem\nS'true'\no.", inspect.Hostile, inspect.RuleGlobal},
		"OBJ whose result is dropped":     {"\x80\x02(cos\nsystem\nS'true'\no0N.", inspect.Hostile, inspect.RuleGlobal},
		"NEWOBJ":                          {"\x80\x02csubprocess\nPopen\n)\x81.", inspect.Hostile, inspect.RuleGlobal},
		"NEWOBJ_EX":                       {"\x80\x04csubprocess\nPopen\n)}\x92.", inspect.Hostile, inspect.RuleGlobal},
		"BUILD on a class":                {"\x80\x02ccollections\nOrderedDict\n}(S'a'\nNub.", inspect.Suspicious, inspect.RuleBuild},
		"BUILD of a stranger":             {"\x80\x02cmymodule\nMine\n)\x81}b.", inspect.Suspicious, inspect.RuleGlobal},
		"extension registry":              {"\x80\x02\x82\x01)R.", inspect.Suspicious, inspect.RuleRegistry},
		"extension registry, 4 bytes":     {"\x80\x02\x84\x01\x00\x00\x00)R.", inspect.Suspicious, inspect.RuleRegistry},
		"persistent id":                   {"\x80\x02NQ.", inspect.Suspicious, inspect.RulePersistent},
		"persistent id in text":           {"Pabc\n.", inspect.Suspicious, inspect.RulePersistent},
		"frame beyond the end":            {"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.", inspect.Suspicious, inspect.RuleFrame},
		"frame ends within an opcode":     {"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00" + call + ".", inspect.Hostile, inspect.RuleFrame},
		"frame in a frame":                {"\x80\x04" + frame("N0"+frame("N.")), inspect.Suspicious, inspect.RuleFrame},
		"out-of-band buffer":              {"\x80\x05\x97.", inspect.Suspicious, inspect.RulePersistent},
		"string of 2^60 bytes":            {"\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x10abc", inspect.Suspicious, inspect.RuleBroken},
		"string of 2^63 bytes":            {"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x80abc", inspect.Suspicious, inspect.RuleBroken},
		"memo entry 2^32-1":               {"\x80\x02Nr\xff\xff\xff\xff.", inspect.Suspicious, inspect.RuleMemo},
		"protocol 200":                    {"\x80\x02N0\x80\xc8N.", inspect.Suspicious, inspect.RuleBroken},
		"module of a stranger":            {"\x80\x02ctorch_evil\nload\n)R.", inspect.Suspicious, inspect.RuleGlobal},
		"load of nested bytes":            {"\x80\x02ctorch.storage\n_load_from_bytes\n" + binBytes("\x80\x02"+system) + "\x85R.", inspect.Hostile, inspect.RuleNested},
		"torch magic, then a payload":     {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + system, inspect.Hostile, inspect.RuleGlobal},
		"torch with another magic":        {"\x80\x02" + system + "\x80\x02M\xe9\x03.", inspect.Hostile, inspect.RuleGlobal},
		"magic in another stream":         {"\x80\x02N.\x80\x02" + system + "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", inspect.Hostile, inspect.RuleGlobal},
		"eval":                            {"c__builtin__\neval\n(S'1'\ntR.", inspect.Hostile, inspect.RuleGlobal},
		"getattr":                         {"\x80\x04" + str("builtins") + str("getattr") + "\x93)R.", inspect.Hostile, inspect.RuleGlobal},
	} {
		t.Run(name, func(t *testing.T) {
			r := look(t, "m.pkl", []byte(c.data))
			if r.Verdict != c.want {
				t.Errorf("verdict %v, want %v: %+v", r.Verdict, c.want, r.Findings)
			}
			if !slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == c.rule }) {
				t.Errorf("no finding %s: %+v", c.rule, r.Findings)
			}
			// The name changes nothing: it is found in "notes.txt" as well.
			if other := look(t, "notes.txt", []byte(c.data)); other.Verdict == inspect.Safe {
				t.Errorf("safe under another name: %+v", other)
			}
		})
	}
}

func TestBenign(t *testing.T) {
	for name, data := range map[string]string{
		"none, protocol 0":     "N.",
		"dict, protocol 0":     "(dp0\nVa\np1\nI1\nsVb\np2\nF1.5\ns.",
		"dict, protocol 2":     "\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.",
		"ordered dictionary":   "\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.",
		"list, protocol 4":     "\x80\x04" + frame("]\x94(K\x01K\x02G\x3f\xf0\x00\x00\x00\x00\x00\x00e."),
		"bytes like base64":    "\x80\x04" + str("gARsaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=") + ".",
		"bytes that begin so":  "\x80\x03" + binBytes("\x80\x04hello world") + ".",
		"random state":         "\x80\x02cnumpy.random._pickle\n__randomstate_ctor\n)R.",
		"protocol 5 bytearray": "\x80\x05\x96\x03\x00\x00\x00\x00\x00\x00\x00abc\x94.",
	} {
		if r := look(t, "m.pkl", []byte(data)); r.Verdict != inspect.Safe || r.Format != "pickle" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, data := range []string{"hello\n", "cat\ndog\nelephant\n", "config\nmodel\n\nThis is a list.", "{}", "I am a text.\nIt has two lines.\n", "(a) first\n(b) second\n", "0.1\n0.2\n", "N\n", "]", "import os\n"} {
		if r := look(t, "README.md", []byte(data)); r.Format != "" {
			t.Errorf("%q is taken for a pickle: %+v", data, r)
		}
	}
}

// TestOpcodes follows each of the 68 opcodes once.
func TestOpcodes(t *testing.T) {
	u64 := "\x01\x00\x00\x00\x00\x00\x00\x00a"
	for op, data := range map[string]string{
		"MARK POP_MARK": "(1N.", "POP": "NN0.", "DUP": "N2\x86.", "FLOAT": "F1.5\n.", "INT": "I01\n.", "BININT": "J\x01\x00\x00\x00.",
		"BININT1": "K\x01.", "LONG": "L12L\n.", "BININT2": "M\x01\x00.", "PERSID": "P1\n.", "BINPERSID": "NQ.",
		"REDUCE": "cbuiltins\nset\n)R.", "STRING": "S'a'\n.", "BINSTRING": "T\x01\x00\x00\x00a.", "SHORT_BINSTRING": "U\x01a.",
		"UNICODE": "Va\n.", "BINUNICODE": "X\x01\x00\x00\x00a.", "APPEND": "]Na.", "BUILD": "cbuiltins\nobject\n)\x81}b.",
		"DICT": "(NNd.", "EMPTY_DICT": "}.", "APPENDS": "](NNe.", "PUT GET": "Np1\n0g1\n.", "BINPUT BINGET": "Nq\x010h\x01.",
		"INST": "(ibuiltins\nset\n.", "LONG_BINPUT LONG_BINGET": "Nr\x01\x00\x00\x000j\x01\x00\x00\x00.", "LIST": "(Nl.", "EMPTY_LIST": "].",
		"OBJ": "(cbuiltins\nset\no.", "SETITEM": "}NNs.", "TUPLE": "(Nt.", "EMPTY_TUPLE": ").", "SETITEMS": "}(NNu.",
		"BINFLOAT": "G12345678.", "PROTO": "\x80\x05N.", "NEWOBJ": "cbuiltins\nset\n)\x81.", "EXT1": "\x82\x01.", "EXT2": "\x83\x01\x00.",
		"EXT4": "\x84\x01\x00\x00\x00.", "TUPLE1": "N\x85.", "TUPLE2": "NN\x86.", "TUPLE3": "NNN\x87.", "NEWTRUE": "\x88.", "NEWFALSE": "\x89.",
		"LONG1": "\x8a\x01a.", "LONG4": "\x8b\x01\x00\x00\x00a.", "BINBYTES": "B\x01\x00\x00\x00a.", "SHORT_BINBYTES": "C\x01a.",
		"SHORT_BINUNICODE": "\x8c\x01a.", "BINUNICODE8": "\x8d" + u64 + ".", "BINBYTES8": "\x8e" + u64 + ".", "EMPTY_SET ADDITEMS": "\x8f(N\x90.",
		"FROZENSET": "(N\x91.", "NEWOBJ_EX": "cbuiltins\nset\n)}\x92.", "STACK_GLOBAL": "\x8c\x08builtins\x8c\x03set\x93.", "MEMOIZE": "N\x94.",
		"FRAME": "\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", "BYTEARRAY8": "\x96" + u64 + ".", "NEXT_BUFFER READONLY_BUFFER": "\x97\x98.",
	} {
		r := look(t, "m.pkl", []byte(data))
		for _, f := range r.Findings {
			if f.Rule == inspect.RuleBroken || f.Rule == inspect.RuleTail {
				t.Errorf("%s: %+v", op, r)
			}
		}
		if r.Format != "pickle" {
			t.Errorf("%s: is %q", op, r.Format)
		}
	}
}

func TestPython(t *testing.T) {
	if testing.Short() {
		t.Skip("starts python3")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	const program = `
import pickle, sys, collections, datetime, decimal, fractions, uuid
objects = [None, True, 1 << 100, -5, 1.5, "text" * 100, b"bytes" * 500, bytearray(b"x" * 9), [1, [2, (3,)]], {"a": {"b": {1, 2}}}, frozenset([1]),
  collections.OrderedDict(a=1), collections.defaultdict(int, a=2), collections.Counter("abca"), collections.deque([1]), datetime.datetime(2020, 1, 2),
  datetime.timedelta(1), decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=5), complex(1, 2), range(3), slice(1, 2), list(range(5000)),
  {str(i): float(i) for i in range(3000)}, b"y" * 100000]
sys.stdout.buffer.write(pickle.dumps([pickle.dumps(o, p) for p in range(6) for o in objects + [objects]], 2))`
	out, err := exec.Command(python, "-c", program).Output()
	if err != nil {
		t.Skipf("python3 cannot pickle: %v", err)
	}
	// The list of pickles is a pickle with one nested pickle for each; all must be clean but for being nested.
	r := look(t, "all.pkl", out)
	for _, f := range r.Findings {
		if f.Rule != inspect.RuleNested {
			t.Errorf("%+v", f)
		}
	}
	if len(r.Findings) < 100 {
		t.Errorf("%d nested pickles are found", len(r.Findings))
	}
}

func TestGreat(t *testing.T) {
	if testing.Short() {
		t.Skip("follows millions of opcodes")
	}
	many := "\x80\x02](" + strings.Repeat("N", 3<<20) + "e."
	if r := look(t, "m.pkl", []byte(many)); r.Verdict != inspect.Unknown {
		t.Errorf("many objects at once: %+v", r)
	}
	memos := "\x80\x04" + strings.Repeat("N\x940", 3<<20) + "N."
	if r := look(t, "m.pkl", []byte(memos)); r.Verdict != inspect.Safe {
		t.Errorf("many memo entries: %+v", r)
	}
	var streams strings.Builder
	for range 5000 {
		streams.WriteString("\x80\x02N.")
	}
	if r := look(t, "m.pkl", []byte(streams.String()+system)); r.Verdict != inspect.Hostile {
		t.Errorf("many streams: %+v", r)
	}
	names := "\x80\x02"
	for i := range 3000 {
		names += fmt.Sprintf("cm\nf%d\n0", i)
	}
	if r := look(t, "m.pkl", []byte(names+"N.")); r.Verdict != inspect.Suspicious || len(r.Findings) > 300 {
		t.Errorf("many names: %v, %d findings", r.Verdict, len(r.Findings))
	}
}

func TestRules(t *testing.T) {
	for name, data := range map[string]string{
		"unknown field":      "version: 1\nallowed: {}\n",
		"another version":    "version: 2\n",
		"pattern":            "version: 1\nallow: {torch: ['*']}\n",
		"dotted":             "version: 1\nallow: {torch: [a.b]}\n",
		"allowed and denied": "version: 1\nallow: {os: [system]}\ndeny: {modules: [os]}\n",
		"two documents":      "version: 1\n---\nversion: 1\n",
		"empty":              "",
	} {
		if _, err := ParseRules([]byte(data)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzPickle(f *testing.F) {
	f.Add([]byte(system))
	f.Add([]byte("\x80\x04" + frame(str("os")+str("system")+"\x93)R.")))
	f.Add([]byte("\x80\x03" + binBytes("\x80\x02"+system) + "."))
	f.Add([]byte("(dp0\nVa\np1\nI1\nsg1\nP5\n2."))
	f.Add([]byte("\x80\x04]\x94(K\x01M\x02\x01N\x94h\x00q\x02r\x03\x00\x00\x00G12345678X\x01\x00\x00\x00aC\x01b\x8c\x01c" + strings.Repeat("N\x940", 20) + "e."))
	quick, slow := model(f), model(f)
	slow.slow = true
	inspectors := []inspect.Inspector{}
	for _, r := range []*Rules{quick, slow} {
		always := inspect.Format{Name: "pickle", Match: func(*inspect.File) bool { return true }, Scan: Format(r).Scan}
		inspectors = append(inspectors, inspect.Inspector{Formats: []inspect.Format{always}, Limits: inspect.DefaultLimits()})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Behind other bytes the fast way has room to run.
		padded := append(slices.Clone(data), bytes.Repeat([]byte("N0"), 32)...)
		var reports [2]inspect.Report
		for i, in := range inspectors {
			var err error
			if reports[i], err = in.Inspect(t.Context(), "m.pkl", bytes.NewReader(padded), int64(len(padded))); err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(reports[0]) != fmt.Sprint(reports[1]) {
			t.Errorf("the fast way differs:\n%+v\n%+v", reports[0], reports[1])
		}
	})
}

func BenchmarkPickle(b *testing.B) {
	var mixed, dense bytes.Buffer
	mixed.WriteString("\x80\x04}\x94(")
	for i := range 100_000 {
		mixed.WriteString(str(fmt.Sprintf("layers.%d.weight", i)) + "\x94G12345678")
	}
	mixed.WriteString("u.")
	dense.WriteString("\x80\x04")
	for range 1000 {
		dense.WriteString("]\x94(" + strings.Repeat("K\x01M\x02\x01N", 700) + "e0")
	}
	dense.WriteString("N.")
	blob := []byte("\x80\x04" + "\x8e" + string(binary.LittleEndian.AppendUint64(nil, 64<<20)))
	blob = append(append(blob, make([]byte, 64<<20)...), '.')
	r := model(b)
	in := inspect.Inspector{Formats: []inspect.Format{Format(r)}, Limits: inspect.DefaultLimits()}
	for name, data := range map[string][]byte{"dictionary": mixed.Bytes(), "numbers": dense.Bytes(), "bytes": blob} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			start, n := cpu(), 0
			for b.Loop() {
				n++
				if r, err := in.Inspect(b.Context(), "m.pkl", bytes.NewReader(data), int64(len(data))); err != nil || r.Verdict != inspect.Safe {
					b.Fatal(err, r)
				}
			}
			// On a machine that others use as well, the time of the processor says more than that of the clock.
			b.ReportMetric(float64(n)*float64(len(data))/1e6/(cpu()-start), "MB/cpu-s")
		})
	}
}

// cpu is the processor time of this process, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
