package measure_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/measure"
)

func TestShippedCues(t *testing.T) {
	cues, err := measure.ParseCues(bytes.NewReader(rules.Cues()))
	if err != nil {
		t.Fatal(err)
	}
	if len(cues.Tests()) < 50 {
		t.Fatalf("the rule file has %d examples", len(cues.Tests()))
	}
	var want palladium.CueSet
	for key := range byte(3) { // no match may hang on the key
		m, o := measure.New([32]byte{key}, cues), new(palladium.Observation)
		for _, c := range cues.Tests() {
			e := &palladium.Exchange{System: c.System, Messages: []palladium.Message{{Role: "user", Text: c.Text}}}
			if m.Measure(e, o); o.Cues != c.Want {
				t.Errorf("%q shows %v, want %v", c.Text, measure.CueNames(o.Cues), measure.CueNames(c.Want))
			}
			want |= c.Want
		}
	}
	if want != palladium.CueProbe-1 {
		t.Errorf("no example for %v", measure.CueNames((palladium.CueProbe-1)&^want))
	}
}

func TestParseCuesRefuses(t *testing.T) {
	rule := "version: 1\nrules: [{id: a, class: format, any: [%]}]"
	for _, c := range []struct{ name, file, says string }{
		{"unknown key", "version: 1\nrulez: []", "rulez"},
		{"version", "version: 2", "version 2"},
		{"no version", "rules: []", "version 0"},
		{"class", "version: 1\nrules: [{id: a, class: probe, any: [x]}]", "probe"},
		{"no id", "version: 1\nrules: [{class: format, any: [x]}]", "rule 1"},
		{"twice", "version: 1\nrules: [{id: a, class: format, any: [x]}, {id: a, class: format, any: [y]}]", "twice"},
		{"no phrase", "version: 1\nrules: [{id: a, class: format}]", "any or all"},
		{"any and all", "version: 1\nrules: [{id: a, class: format, any: [x], all: [[y]]}]", "any or all"},
		{"empty group", "version: 1\nrules: [{id: a, class: format, all: [[x], []]}]", "empty"},
		{"open brace", strings.Replace(rule, "%", "'a {b|c'", 1), "close"},
		{"nested", strings.Replace(rule, "%", "'a {b|{c}}'", 1), "close"},
		{"stray bar", strings.Replace(rule, "%", "'a|b'", 1), "outside"},
		{"no words", strings.Replace(rule, "%", "'a {b|!}'", 1), ""},
		{"too long", strings.Replace(rule, "%", "'"+strings.Repeat("{a|b} ", 13)+"'", 1), "split"},
		{"gaps", strings.Replace(rule, "%", "'a .. b .. c .. d .. e .. f'", 1), "split"},
		{"test class", "version: 1\nrules: []\ntests: [{text: x, want: [probe]}]", "probe"},
	} {
		_, err := measure.ParseCues(strings.NewReader(c.file))
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error naming %q", c.name, err, c.says)
		}
	}
	if _, err := measure.ParseCues(strings.NewReader("version: 2")); !errors.Is(err, measure.ErrCues) {
		t.Errorf("got %v", err)
	}
}

func TestPhrases(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		want       bool
	}{
		{"any: ['alpha']", "Alpha!", true},
		{"any: ['alpha beta']", "say ALPHA, (beta).", true},
		{"any: ['alpha beta']", "alpha the beta", false},
		{"any: ['alpha .. beta']", "alpha beta", true},
		{"any: ['alpha .. beta']", "alpha one two three beta", true},
		{"any: ['alpha .. beta']", "alpha one two three four beta", false},
		{"any: ['alpha .. beta .. gamma']", "alpha beta x beta y z w gamma", true},
		{"any: ['alpha .. beta']", "alpha", false},
		{"any: ['.. alpha ..']", "alpha", true},
		{"any: ['{one|two words} {more|}']", "two words", true},
		{"any: ['from 1 to 5']", "from 3.5 to 1,000", true},
		{"any: ['from 1']", "from one", false},
		{"all: [['alpha'], ['beta']]", "beta then alpha", true},
		{"all: [['alpha'], ['beta']]", "alpha alpha", false},
		{"any: ['alpha']\n    unless: ['beta gamma']", "alpha", true},
		{"any: ['alpha']\n    unless: ['beta gamma']", "alpha, beta gamma", false},
		{"any: ['alpha']", "", false},
		{"any: ['{alpha|} .. beta']", "beta", true},
		{"any: ['{alpha|} .. beta']", "alpha x beta", true},
		{"any: ['思维']", "他的思维很快", true},
	} {
		cues, err := measure.ParseCues(strings.NewReader("version: 1\nrules:\n  - id: r\n    class: format\n    " + c.rule))
		if err != nil {
			t.Fatal(c.rule, err)
		}
		m, o := measure.New([32]byte{9}, cues), new(palladium.Observation)
		m.Measure(&palladium.Exchange{Messages: []palladium.Message{{Role: "user", Text: c.text}}}, o)
		if got := o.Cues != 0; got != c.want {
			t.Errorf("rule %q on %q: %v", c.rule, c.text, got)
		}
	}
}

func FuzzParseCues(f *testing.F) {
	f.Add("version: 1\nrules: [{id: a, class: format, any: ['a {b|c} .. d']}]")
	f.Add("version: 1\nrules: [{id: a, class: grading, all: [[a], [b]], unless: ['..']}]")
	f.Fuzz(func(t *testing.T, file string) {
		if cues, err := measure.ParseCues(strings.NewReader(file)); err == nil {
			m, o := measure.New([32]byte{}, cues), new(palladium.Observation)
			m.Measure(&palladium.Exchange{Messages: []palladium.Message{{Role: "user", Text: file}}}, o)
		}
	})
}
