package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// one is a policy of one rule; its condition starts in line 4, column 14.
func one(condition string) string {
	return "version: 1\nrules:\n  - name: r\n    require: " + condition + "\n    because: b\n"
}

func TestBadPolicies(t *testing.T) {
	many := "version: 1\nrules:\n"
	for i := range maxRules + 1 {
		many += fmt.Sprintf("  - {name: r%d, require: signed, because: b}\n", i)
	}
	for _, c := range []struct{ name, text, where, says string }{
		{"empty", "", "", "the file is empty"},
		{"comment", "# nothing\n", "", "the file is empty"},
		{"null", "---\n", "line 2, column 1", "a policy has the keys"},
		{"list", "- a\n", "line 1, column 1", "a policy has the keys"},
		{"no YAML", "version: 1\nrules:\n  - name: r\n   because: b\n", "line 2", "did not find expected"},
		{"two documents", one("signed") + "---\nversion: 1\n", "", "one policy in a file"},
		{"too long", "#" + strings.Repeat("x", maxPolicy), "", "longer than"},
		{"no version", "rules: []\n", "line 1, column 1", "write `version: 1`"},
		{"future version", "version: 2\nrules: []\n", "line 1, column 10", "reads no other policy format"},
		{"unknown key", "version: 1\nrule: []\n", "line 2, column 1", `unknown key "rule"`},
		{"key twice", "version: 1\nrules: []\nrules: []\n", "line 3, column 1", "comes twice"},
		{"no rules", "version: 1\nrules: []\n", "line 2, column 8", "would let everything load"},
		{"rules absent", "version: 1\n", "line 1, column 1", "would let everything load"},
		{"rules are text", "version: 1\nrules: signed\n", "line 2, column 8", "in a list"},
		{"too many", many, "line 3, column 3", "1 to 100 rules"},
		{"unknown key of a rule", "version: 1\nrules:\n  - name: r\n    requre: signed\n    because: b\n", "line 4, column 5", `unknown key "requre"`},
		{"rule without condition", "version: 1\nrules:\n  - name: r\n    because: b\n", "line 3, column 5", "has no `require:`"},
		{"rule without reason", "version: 1\nrules:\n  - name: r\n    require: signed\n", "line 3, column 5", "has no `because:`"},
		{"rule without name", "version: 1\nrules:\n  - require: signed\n    because: b\n", "line 3, column 5", "has no `name:`"},
		{"rule is text", "version: 1\nrules:\n  - signed\n", "line 3, column 5", "a rule has the keys"},
		{"condition is a list", one("[signed]"), "line 4, column 14", "give `require:` as text"},
		{"condition is empty", one("''"), "line 4, column 14", "give `require:` as text"},
		{"condition is an alias", "version: 1\nrules:\n  - name: &a r\n    require: *a\n    because: b\n", "line 4, column 14", "give `require:` as text"},
		{"condition is too long", one("signed" + strings.Repeat(" && signed", 500)), "line 4, column 14", "longer than 4096 bytes"},
		{"same name", one("signed") + "  - name: r\n    require: signed\n    because: b\n", "line 6, column 11", `rule "r" comes twice`},
		{"unknown name", one("signed && signd"), "line 4, column 24", "undeclared reference to 'signd'"},
		{"no boolean", one("files"), "line 4, column 14", "gives int: it must give true or false"},
		{"wrong types", one("files == \"3\""), "line 4, column 20", "no matching overload"},
		{"ends early", one("signed &&"), "line 4, column 23", "Syntax error"},
		{"unknown function", one("signed && now() > 3"), "line 4, column 27", "undeclared reference to 'now'"},
		{"macro that is not there", one("ignored.map(i, i + 'x').size() == 0"), "line 4, column 25", "undeclared reference"},
		{"double quotes", one(`"signed && signd"`), "line 4, column 25", "signd"},
		{"single quotes", one(`'signed && signd'`), "line 4, column 25", "signd"},
		{"escapes", one(`"\x73igned && signd"`), "line 4, column 14", "signd"},
		{"not ASCII", one("signer == 'Jürgen' && signd"), "line 4, column 36", "signd"},
		{"literal", one("|\n      signed &&\n        signd"), "line 6, column 9", "signd"},
		{"folded", one(">\n      signed\n      && signd"), "line 6, column 10", "signd"},
		{"folded, last line", one(">-\n      signed\n      &&\n\n      signd"), "line 8, column 7", "signd"},
		{"plain over lines", one("signed\n      && signd"), "line 5, column 10", "signd"},
		{"flow", "version: 1\nrules: [{name: r, require: signd, because: b}]\n", "line 2, column 28", "signd"},
		{"CRLF", strings.ReplaceAll(one("|\n      signed &&\n        signd"), "\n", "\r\n"), "line 6, column 9", "signd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load([]byte(c.text))
			if !errors.Is(err, ErrPolicy) {
				t.Fatalf("got error %v", err)
			}
			if !strings.HasPrefix(err.Error(), ErrPolicy.Error()+": "+c.where) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, want %q at %q", err, c.says, c.where)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	good := func(change func(f *Facts)) *Facts {
		f := &Facts{
			Signed: true, Method: "sigstore", Signer: "release@example.com", Names: []string{"a.example", "b.example"},
			Issuer: "https://accounts.example.com", Dialect: "v1.0", Root: strings.Repeat("ab", 32), Files: 3, Bytes: 1 << 40,
			Verdict: "safe", Lineage: "measured", Ledger: "example.com/loads", Proved: "example.com/models",
		}
		if change != nil {
			change(f)
		}
		return f
	}
	company := `signed && method == "sigstore" && signer == "release@example.com" && issuer == "https://accounts.example.com"`
	for _, c := range []struct {
		name, condition string
		facts           *Facts
		found           string // what is said of the rule that does not hold; empty when it holds
	}{
		{"who signed", company, good(nil), ""},
		{"somebody else signed", company, good(func(f *Facts) { f.Signer = "eve@example.com" }), `signer = "eve@example.com"`},
		{"another issuer", company, good(func(f *Facts) { f.Issuer = "https://evil.example" }), `issuer = "https://evil.example"`},
		{"by a key instead", company, good(func(f *Facts) { f.Method = "key" }), `method = "key"`},
		{"nobody signed", company, &Facts{Verdict: "safe"}, `signed = "false"`},
		{"name in the certificate", `"b.example" in names`, good(nil), ""},
		{"no such name", `"c.example" in names`, good(nil), `names = "[a.example b.example]"`},
		{"no names at all", `"c.example" in names`, &Facts{}, `names = "[]"`},
		{"every name", `names.all(n, n.endsWith(".example"))`, good(nil), ""},
		{"any name", `names.exists(n, n.startsWith("b."))`, good(nil), ""},
		{"one name", `names.exists_one(n, n == "a.example")`, good(nil), ""},
		{"nothing unsigned", `unsigned.size() == 0 && ignored.size() == 0`, good(nil), ""},
		{"something unsigned", `unsigned.size() == 0`, good(func(f *Facts) { f.Unsigned = []string{"README.md"} }), `unsigned = "[README.md]"`},
		{"many left out", `ignored.size() == 0`, good(func(f *Facts) { f.Ignored = strings.Split(strings.Repeat("a ", 30), " ")[:30] }), `a a] and 20 more"`},
		{"something left out", `!("code" in ignored)`, good(func(f *Facts) { f.Ignored = []string{"code"} }), `ignored = "[code]"`},
		{"inspected", `verdict == "safe"`, good(nil), ""},
		{"unknown is not safe", `verdict == "safe"`, good(func(f *Facts) { f.Verdict = "unknown" }), `verdict = "unknown"`},
		{"not hostile", `verdict in ["safe", "unknown"]`, good(func(f *Facts) { f.Verdict = "hostile" }), `verdict = "hostile"`},
		{"finding accepted", `findings.all(x, x in ["pickle/import"])`, good(func(f *Facts) { f.Findings = []string{"pickle/import"} }), ""},
		{"finding not accepted", `findings.all(x, x in ["pickle/import"])`, good(func(f *Facts) { f.Findings = []string{"zip/slip"} }), `findings = "[zip/slip]"`},
		{"unsafe files", `unsafe.size() == 0`, good(func(f *Facts) { f.Unsafe = []string{"m/a.pkl"} }), `unsafe = "[m/a.pkl]"`},
		{"lineage", `lineage in ["measured", "recomputed"]`, good(nil), ""},
		{"lineage only claimed", `lineage in ["measured", "recomputed"]`, good(func(f *Facts) { f.Lineage = "claimed" }), `lineage = "claimed"`},
		{"lineage broken", `lineage != "none" && lineage != "broken"`, good(func(f *Facts) { f.Lineage = "broken" }), `lineage = "broken"`},
		{"load logged, signature proved", `ledger == "example.com/loads" && proved == "example.com/models"`, good(nil), ""},
		{"load not logged", `ledger != ""`, good(func(f *Facts) { f.Ledger = "" }), `ledger = ""`},
		{"proved by another ledger", `proved == "example.com/models"`, good(func(f *Facts) { f.Proved = "evil.example" }), `proved = "evil.example"`},
		{"this very model", `root == "` + strings.Repeat("ab", 32) + `"`, good(nil), ""},
		{"size", `files <= 3 && bytes <= 1099511627776`, good(nil), ""},
		{"dialect", `dialect.matches("^v[0-9.]+$")`, good(nil), ""},
		{"constant", `false`, good(nil), "no field"},
		{"cannot be evaluated", `names[7] == "x"`, good(nil), "could not be evaluated"},
		{"cannot be evaluated, or true", `names[7] == "x" || signed`, good(nil), ""},
		{"too expensive", `ignored.all(a, ignored.all(b, ignored.all(c, a + b + c != "x")))`, good(func(f *Facts) {
			for i := range 300 {
				f.Ignored = append(f.Ignored, fmt.Sprint(i))
			}
		}), "could not be evaluated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Load([]byte(one("|\n      " + c.condition)))
			if err != nil {
				t.Fatal(err)
			}
			switch broken := p.Decide(c.facts); {
			case c.found == "" && len(broken) > 0:
				t.Errorf("does not hold: %+v", broken)
			case c.found != "" && (len(broken) != 1 || !strings.Contains(broken[0].Found, c.found) || broken[0].Because != "b"):
				t.Errorf("got %+v, want one that says %q", broken, c.found)
			}
		})
	}
}

// Every rule must hold, and all that do not are named.
func TestEveryRule(t *testing.T) {
	text := "version: 1\nrevision: r7\nrules:\n"
	for _, r := range []string{"a: signed", "b: files > 0", "c: verdict == 'safe'"} {
		name, condition, _ := strings.Cut(r, ": ")
		text += fmt.Sprintf("  - {name: %s, require: \"%s\", because: because of %s}\n", name, condition, name)
	}
	p, err := Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.Revision() != "r7" || len(p.Rules()) != 3 || p.Rules()[2].Line != 6 || p.Rules()[2].Require != "verdict == 'safe'" {
		t.Errorf("read as %q %+v", p.Revision(), p.Rules())
	}
	for want, f := range map[string]*Facts{
		"":    {Signed: true, Files: 1, Verdict: "safe"},
		"a":   {Files: 1, Verdict: "safe"},
		"b c": {Signed: true, Verdict: "hostile"},
	} {
		var got []string
		for _, b := range p.Decide(f) {
			got = append(got, b.Rule)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v breaks %q, want %q", *f, got, want)
		}
	}
}

func TestDefault(t *testing.T) {
	p, err := Load(Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		facts  Facts
		broken int
	}{
		{Facts{Signed: true, Verdict: "safe"}, 0},
		{Facts{}, 2},
		{Facts{Verdict: "safe"}, 1},
		{Facts{Signed: true, Verdict: "unknown"}, 1},
		{Facts{Signed: true, Verdict: "safe", Unsigned: []string{"README.md"}}, 1},
	} {
		if got := p.Decide(&c.facts); len(got) != c.broken {
			t.Errorf("%+v: broken rules %+v, want %d", c.facts, got, c.broken)
		}
	}
	Default()[0] = 'x'
	if Default()[0] == 'x' {
		t.Error("a caller can change the default policy")
	}
}

// Each field has a name of its own, a type that holds its value, and words.
func TestFields(t *testing.T) {
	var names []string
	for _, f := range new(Facts).Fields() {
		if slices.Contains(names, f.Name) || f.Says == "" {
			t.Errorf("field %q comes twice or says nothing", f.Name)
		}
		names = append(names, f.Name)
		is := map[string]string{"bool": " || !%s", "int": " >= 0 || %s < 0", "string": " == '' || %s != ''", "list(string)": ".size() >= 0 || %s.size() < 0"}[f.Type]
		p, err := Load([]byte(one("|\n      " + f.Name + fmt.Sprintf(is, f.Name))))
		if err != nil {
			t.Errorf("field %s of type %s: %v", f.Name, f.Type, err)
		} else if broken := p.Decide(&Facts{}); len(broken) > 0 {
			t.Errorf("field %s: %+v", f.Name, broken)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(Default())
	f.Add([]byte(one("|\n      signed &&\n        signd")))
	f.Add([]byte(one(`"\x73igned && signd"`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Load(data)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Errorf("got error %v", err)
			}
			return
		}
		p.Decide(&Facts{})
	})
}
