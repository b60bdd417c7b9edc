package judge_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/judge"
)

func load(t testing.TB, text string) *judge.Policy {
	t.Helper()
	p, err := judge.Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// caught are the facts of a campaign that the default policy acts on.
func caught() judge.Facts {
	return judge.Facts{
		Accounts: 412, OperatorP: 1e-9, OperatorE: 1e7, OperatorRejected: true, ExtractionP: 0.004, ExtractionScore: 5.5, Keys: 3,
		Families: []string{"network", "template", "schedule"}, Weight: map[string]float64{"network": 8, "template": 9, "schedule": 4},
		Exchanges: 90_000, Tokens: palladium.Tokens{Input: 1e7, Output: 3e7}, Hours: 300, Days: 12,
		Calibrated: true, References: 240, ReferenceFloor: 1.0 / 241, Linked: true, Whole: true,
	}
}

func TestDefaultPolicy(t *testing.T) {
	p := load(t, string(rules.Policy()))
	for _, row := range []struct {
		name   string
		change func(*judge.Facts)
		want   palladium.Stage
		rule   string
		says   string // in the reasons
	}{
		{"a campaign", func(f *judge.Facts) {}, palladium.StageAct, "proven-extraction", "one operator runs these accounts"},
		{"two keys", func(f *judge.Facts) { f.Keys = 2 }, palladium.StageReview, "likely-extraction", "keys = 2, wanted at least 3 [act_keys]"},
		{"one key", func(f *judge.Facts) { f.Keys = 1 }, palladium.StageWatch, "not-decided-yet", "keys = 1, wanted at least 2 [min_keys]"},
		{"two families of one key", func(f *judge.Facts) { f.Families = []string{"template", "twins"} }, palladium.StageWatch, "not-decided-yet", "keys = 1"},
		{"one vouched account", func(f *judge.Facts) { f.Vouched = 0.01 }, palladium.StageReview, "likely-extraction", "vouched = 0.01, wanted exactly 0"},
		{"vouched group", func(f *judge.Facts) { f.Vouched = 1 }, palladium.StageLinked, "one-operator-no-extraction", "vouches"},
		{"very odd vouched group", func(f *judge.Facts) { f.Vouched, f.ExtractionP = 1, 0.001 }, palladium.StageWatch, "odd-for-a-vouched-group", "ask the customer"},
		{"not calibrated", func(f *judge.Facts) { f.Calibrated, f.References = false, 4 }, palladium.StageWatch, "not-decided-yet", "calibrated = false, wanted true"},
		{"few references", func(f *judge.Facts) { f.References, f.ReferenceFloor, f.ExtractionP = 40, 1.0/41, 1.0/41 }, palladium.StageReview, "likely-extraction", "40 reference groups cannot give less than 0.02439"},
		{"weaker", func(f *judge.Facts) { f.ExtractionP = 0.03 }, palladium.StageReview, "likely-extraction", "extraction_p = 0.03, wanted at most 0.01 [act_p]"},
		{"one declared organisation", func(f *judge.Facts) { f.Declared = 1 }, palladium.StageReview, "likely-extraction", "declared = 1"},
		{"undecided", func(f *judge.Facts) { f.ExtractionP = 0.1 }, palladium.StageWatch, "not-decided-yet", "extraction_p = 0.1"},
		{"undecided but probing", func(f *judge.Facts) { f.ExtractionP, f.Probing = 0.1, true }, palladium.StageReview, "output-layer-probing", "output layer"},
		{"a reseller nobody vouched for", func(f *judge.Facts) { f.ExtractionP = 0.6 }, palladium.StageLinked, "one-operator-no-extraction", "benign"},
		{"operator not established", func(f *judge.Facts) { f.OperatorRejected = false }, palladium.StageWatch, "not-decided-yet", "operator_rejected = false"},
		{"a family at home", func(f *judge.Facts) { f.Accounts = 3 }, palladium.StageWatch, "not-decided-yet", "accounts = 3"},
		{"not linked", func(f *judge.Facts) { f.Linked = false }, judge.None, "", "no rule holds"},
		{"nothing known", func(f *judge.Facts) { *f = judge.Facts{} }, judge.None, "", "no rule holds"},
		{"not a number", func(f *judge.Facts) { f.ExtractionP = math.NaN() }, palladium.StageLinked, "one-operator-no-extraction", "extraction_p = 1"},
		{"vouched not a number", func(f *judge.Facts) { f.Vouched = math.NaN() }, palladium.StageLinked, "one-operator-no-extraction", "vouched = 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := caught()
			row.change(&f)
			d := p.Decide(f)
			if d.Stage != row.want || d.Rule != row.rule {
				t.Errorf("got %q by rule %q, want %q by %q\n%s", d.Stage, d.Rule, row.want, row.rule, strings.Join(d.Because, "\n"))
			}
			if all := strings.Join(d.Because, "\n"); !strings.Contains(all, row.says) {
				t.Errorf("reasons do not say %q:\n%s", row.says, all)
			}
			if last := d.Because[len(d.Because)-1]; (d.Rule != "") != (d.Why != "") || d.Why != "" && !strings.HasSuffix(last, ": yes: "+d.Why) {
				t.Errorf("why %q, the last reason is %q", d.Why, last)
			}
			if (d.Rule != "") != (len(d.Met) > 0) {
				t.Errorf("rule %q with conditions %q", d.Rule, d.Met)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	p := load(t, `
version: 1
constants: {few: 10, kind: identity}
rules:
  - {name: a, stage: review, when: 'accounts > few && "identity" in families && weight[kind] > 1.0 && !probing', because: x}
  - {name: b, stage: watch, when: '5 <= accounts || calibrated', because: y}
`)
	d := p.Decide(judge.Facts{Accounts: 5, Probing: true, Families: []string{"network"}, Weight: map[string]float64{"network": 2}})
	want := []string{
		`review (a): no: accounts = 5, wanted more than 10 [few] (accounts in the group); ` +
			`wanted ` + "`\"identity\" in families`" + `, with families = [network]; ` +
			`wanted ` + "`weight[kind] > 1.0`" + `, with weight = {network 2}; ` +
			`probing = true, wanted false (the accounts together sweep token biases over the vocabulary)`,
		"watch (b): yes: y",
	}
	if got := strings.Join(d.Because, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if want := "wanted `5 <= accounts || calibrated`, with accounts = 5, calibrated = false"; d.Met[0] != want {
		t.Errorf("met %q, want %q", d.Met[0], want)
	}
}

// The promises hold even for a condition that the static proof cannot see through.
func TestPromisesAtRunTime(t *testing.T) {
	p := load(t, `
version: 1
rules:
  - {name: sly, stage: act, when: 'keys >= 2 && vouched != 0.5 && vouched != 0.75 && vouched != 1.0', because: x}
  - {name: rest, stage: watch, when: 'true', because: y}
`)
	f := caught()
	if d := p.Decide(f); d.Stage != palladium.StageAct {
		t.Fatalf("got %q", d.Stage)
	}
	f.Vouched = 0.9
	if d := p.Decide(f); d.Stage != palladium.StageWatch || !strings.Contains(d.Because[0], "withheld: the operator vouches") {
		t.Errorf("vouched: got %q, %q", d.Stage, d.Because)
	}
	f = caught()
	f.Keys = 3
	f.Families = []string{"template"}
	if d := p.Decide(f); d.Stage != palladium.StageWatch {
		t.Errorf("one family: got %q, %q", d.Stage, d.Because)
	}
}

// A condition that fails at run time, or costs too much, does not hold and says so.
func TestFailsClosed(t *testing.T) {
	long := "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"
	for name, when := range map[string]string{
		"division": "1 / accounts > 0",
		"cost":     long + ".all(a, " + long + ".all(b, " + long + ".all(c, " + long + ".all(d, a + b + c + d > accounts))))",
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, "version: 1\nrules:\n  - {name: a, stage: watch, when: '"+when+"', because: x}\n")
			d := p.Decide(judge.Facts{})
			if d.Stage != judge.None || !strings.Contains(d.Because[0], "could not be evaluated") {
				t.Errorf("got %q, %q", d.Stage, d.Because)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	rule := func(s string) string { return "version: 1\nrules:\n" + s }
	for _, row := range []struct{ name, text, says string }{
		{"empty", "", "the file is empty"},
		{"comment only", "# nothing\n", "the file is empty"},
		{"not yaml", "a: [", "line 1"},
		{"not a mapping", "- a\n", "line 1: write the policy as"},
		{"no version", "rules: []\n", "write `version: 1`"},
		{"newer version", "version: 2\nrules: []\n", "line 1: write `version: 1`"},
		{"unknown key", "version: 1\nruels: []\n", `line 2: unknown key "ruels" in the policy: the keys are version, revision, constants, rules, examples`},
		{"no rules", "version: 1\n", "write at least one rule"},
		{"key twice", "version: 1\nversion: 1\n", `line 2: key "version" comes twice`},
		{"two documents", rule("  - {name: a, stage: watch, when: linked, because: x}\n---\na: 1\n"), "second document"},
		{"alias", "version: 1\nconstants: &c {a: 1}\nrules: *c\n", "line 3: write plain keys"},
		{"unknown rule key", rule("  - name: a\n    stage: watch\n    whne: linked\n    because: x\n"), `line 5: unknown key "whne" in the rule`},
		{"no because", rule("  - {name: a, stage: watch, when: linked}\n"), "line 3: rule \"a\": `because:` is missing"},
		{"unknown stage", rule("  - {name: a, stage: ban, when: linked, because: x}\n"), `line 3: rule "a": no stage is called "ban"`},
		{"same name", rule("  - {name: a, stage: watch, when: linked, because: x}\n  - {name: a, stage: watch, when: linked, because: x}\n"), `line 4: rule "a": the name is taken by the rule of line 3`},
		{"unknown field", rule("  - {name: a, stage: watch, when: country == 'x', because: x}\n"), `line 3: rule "a": column 1 of the condition: undeclared reference to 'country': ` + "`palladium policy show --fields`"},
		{"wrong type", rule("  - name: a\n    stage: watch\n    when: |\n      linked\n      && accounts > 'x'\n    because: x\n"), "line 7: rule \"a\": column 13 of the condition: found no matching overload for '_>_' applied to '(int, string)'"},
		{"folded", rule("  - name: a\n    stage: watch\n    when: >-\n      linked &&\n    because: x\n"), "line 6: rule \"a\": column 10 of the condition: Syntax error"},
		{"not boolean", rule("  - {name: a, stage: watch, when: accounts, because: x}\n"), "the condition is of type int"},
		{"unknown family", rule("  - {name: a, stage: watch, when: 'weight[\"identty\"] > 1', because: x}\n"), `no family of evidence is called "identty"`},
		{"unknown family in list", rule("  - {name: a, stage: watch, when: '\"ip\" in families', because: x}\n"), `no family of evidence is called "ip"`},
		{"constant list", "version: 1\nconstants:\n  a: [1]\n", `line 3: constant "a": write one finite number`},
		{"constant name", "version: 1\nconstants:\n  A-b: 1\n", `line 3: constant "A-b"`},
		{"constant reserved", "version: 1\nconstants:\n  in: 1\n", `line 3: constant "in"`},
		{"constant hides field", "version: 1\nconstants:\n  keys: 9\n", `line 3: constant "keys" has the name of a field`},
		{"not a number", "version: 1\nconstants:\n  a: .nan\n", `line 3: constant "a"`},
		{"act on one key", rule("  - {name: a, stage: act, when: 'keys >= 1 && vouched == 0.0', because: x}\n"), `line 3: rule "a": it could act on 1 independent key of evidence, and the two-key rule cannot be lowered: add`},
		{"act on no key", rule("  - {name: a, stage: act, when: 'extraction_p < 0.001 && vouched == 0.0', because: x}\n"), "it could act on 0 independent keys"},
		{"act on a lowered constant", "version: 1\nconstants: {min: 1}\nrules:\n  - {name: a, stage: act, when: 'keys >= min && vouched == 0.0', because: x}\n", "two-key rule cannot be lowered"},
		{"act on an alternative", rule("  - {name: a, stage: act, when: '(keys >= 2 || operator_e > 1e9) && vouched == 0.0', because: x}\n"), "two-key rule cannot be lowered"},
		{"act on vouched", rule("  - {name: a, stage: act, when: 'keys >= 2', because: x}\n"), "the operator vouches for: add"},
		{"example fails", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {linked: true, accounts: 9}, stage: review}\n"), `line 5: example "e" comes out as watch, not review: watch (a): yes: x`},
		{"example not listed", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {}, stage: watch}\n"), `example "e" comes out as none, not watch: watch (a): no: linked = false`},
		{"example of no field", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {country: x}, stage: none}\n"), `line 5: example "e": no field is called "country"`},
		{"example of another type", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {keys: two}, stage: none}\n"), "keys is not of the type"},
		{"example of no family", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {families: [ip]}, stage: none}\n"), `no family of evidence is called "ip"`},
		{"example of no stage", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {}, stage: ban}\n"), `no stage is called "ban"`},
		{"example without facts", rule("  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, stage: none}\n"), "line 5: example: `facts:` is missing"},
		{"too long", "# " + strings.Repeat("x", 300<<10), "longer than"},
		{"deep", rule("  - {name: a, stage: watch, when: '" + strings.Repeat("(", 2000) + "linked" + strings.Repeat(")", 2000) + "', because: x}\n"), `rule "a"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := judge.Load([]byte(row.text))
			if err == nil {
				t.Fatal("accepted")
			}
			if !errors.Is(err, judge.ErrPolicy) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got  %v\nwant …%s…", err, row.says)
			}
		})
	}
}

// Every field can be named in a condition and has the type that Fields says.
func TestFields(t *testing.T) {
	for _, f := range judge.Fields() {
		p := load(t, "version: 1\nrules:\n  - {name: a, stage: watch, when: '"+f.Name+" == "+f.Name+"', because: x}\n")
		if d := p.Decide(caught()); d.Stage != palladium.StageWatch {
			t.Errorf("%s: %q", f.Name, d.Because)
		}
		kind, _, _ := strings.Cut(f.Type, "(")
		if _, err := judge.Load([]byte("version: 1\nrules:\n  - {name: a, stage: watch, when: 'type(" + f.Name + ") == " + kind + "', because: x}\n")); err != nil {
			t.Errorf("%s is not of type %s: %v", f.Name, f.Type, err)
		}
	}
}

func TestRulesAsWritten(t *testing.T) {
	p := load(t, string(rules.Policy()))
	if p.Revision() == "" || len(p.Rules()) < 3 || p.Examples() < 5 {
		t.Fatalf("revision %q, %d rules", p.Revision(), len(p.Rules()))
	}
	for _, r := range p.Rules() {
		if r.Name == "" || r.When == "" || r.Because == "" || r.Line == 0 {
			t.Errorf("incomplete rule %+v", r)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(rules.Policy())
	f.Add([]byte("version: 1\nconstants: {a: 1.5, b: x}\nrules:\n  - {name: a, stage: act, when: 'keys >= 2 && vouched < 0.5', because: x}\n"))
	f.Add([]byte("version: 1\nrules:\n  - name: a\n    stage: watch\n    when: |\n      families.exists(f, weight[f] > 2.0)\n    because: x\n"))
	f.Add([]byte("version: 1\nrules:\n  - {name: a, stage: watch, when: linked, because: x}\nexamples:\n  - {name: e, facts: {linked: true, weight: {twins: 2.5}, families: [twins]}, stage: watch}\n"))
	facts := []judge.Facts{{}, caught(), {Keys: 1, Linked: true, Vouched: 1, Families: []string{"identity"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := judge.Load(data)
		if err != nil {
			if !errors.Is(err, judge.ErrPolicy) {
				t.Fatalf("error without ErrPolicy: %v", err)
			}
			return
		}
		for _, x := range facts {
			if d := p.Decide(x); d.Stage == palladium.StageAct && (x.Keys < judge.MinKeys || x.Vouched >= judge.VouchedShare) {
				t.Fatalf("acted on %+v", x)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p := load(b, string(rules.Policy()))
	watch := caught()
	watch.ExtractionP = 0.1
	for name, f := range map[string]judge.Facts{"act": caught(), "watch": watch} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(f)
			}
		})
	}
}
