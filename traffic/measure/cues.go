package measure

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/palladium-guard/palladium"
	"go.yaml.in/yaml/v3"
)

// Limits of a rule file.
const (
	cueVersion = 1
	maxGroups  = 512
	maxParts   = 24 // runs of words, alternatives and gaps in one phrase
	maxGaps    = 4  // of which gaps
	cueGap     = 3  // words that ".." may stand for
)

// ErrCues is wrapped by every error of ParseCues that is about the rules and not about reading them.
var ErrCues = errors.New("bad cue rules")

// Cues are the rules that find extraction cues in a text. They are not changed after ParseCues, so Meters share them.
type Cues struct {
	rules []cueRule
	tests []CueTest
}

// CueTest is an example of the rule file: what a prompt, with a system prompt where one is given, shows and nothing else.
type CueTest struct {
	System string
	Text   string
	Want   palladium.CueSet
}

// cueRule matches when one phrase of each group of all occurs and none of unless.
type cueRule struct {
	id     string
	class  palladium.CueSet
	all    [][][]part // groups of phrases
	unless [][]part
}

// cueClasses names the classes that a rule file may use. CueProbe is seen in parameters, not in text.
func cueClasses() map[string]palladium.CueSet {
	return map[string]palladium.CueSet{
		"reasoning": palladium.CueReasoning, "backfill": palladium.CueBackfill, "grading": palladium.CueGrading,
		"synthesis": palladium.CueSynthesis, "persona": palladium.CuePersona, "rewrite": palladium.CueRewrite,
		"classifier": palladium.CueClassifier, "format": palladium.CueFormat,
	}
}

// ParseCues reads a rule file:
//
//	version: 1
//	rules:
//	  - id: backfill-en                       # unique
//	    class: backfill                       # reasoning, backfill, grading, synthesis, persona, rewrite, classifier, format
//	    all:                                  # one phrase of every group must occur; "any: [...]" stands for a single group
//	      - ["{reasoning|thought process} .. {behind|leading to}"]
//	      - ["{answer|solution} {above|below}"]
//	    unless: ["audit trail"]               # and none of these
//	tests:
//	  - text: Write out the reasoning behind the answer below.
//	    want: [backfill]                      # empty: an innocent neighbour
//
// A phrase is a sequence of words as the Meter splits them, so case and punctuation do not matter and every number
// equals every other. {a|b c|} stands for each of its alternatives, .. for up to three words of any kind. A phrase
// may stand in the last user message or in the system prompt.
func ParseCues(r io.Reader) (*Cues, error) {
	var file struct {
		Version int `yaml:"version"`
		Rules   []struct {
			ID     string     `yaml:"id"`
			Class  string     `yaml:"class"`
			Any    []string   `yaml:"any"`
			All    [][]string `yaml:"all"`
			Unless []string   `yaml:"unless"`
		} `yaml:"rules"`
		Tests []struct {
			System string   `yaml:"system"`
			Text   string   `yaml:"text"`
			Want   []string `yaml:"want"`
		} `yaml:"tests"`
	}
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("read the cue rules: %w", err)
	}
	if file.Version != cueVersion {
		return nil, fmt.Errorf("%w: version %d is not supported; use version %d", ErrCues, file.Version, cueVersion)
	}
	c, classes, met := &Cues{}, cueClasses(), map[string]bool{}
	groups := 0
	for i, r := range file.Rules {
		rule := cueRule{id: r.ID, class: classes[r.Class]}
		switch {
		case r.ID == "":
			return nil, fmt.Errorf("%w: rule %d has no id; give it one", ErrCues, i+1)
		case met[r.ID]:
			return nil, fmt.Errorf("%w: rule %q stands twice; rename one", ErrCues, r.ID)
		case rule.class == 0:
			return nil, fmt.Errorf("%w: rule %q has the unknown class %q", ErrCues, r.ID, r.Class)
		case len(r.Any) > 0 == (len(r.All) > 0):
			return nil, fmt.Errorf("%w: rule %q needs either any or all", ErrCues, r.ID)
		}
		met[r.ID] = true
		if len(r.Any) > 0 {
			r.All = [][]string{r.Any}
		}
		for _, g := range append(r.All, r.Unless) {
			phrases, err := parsePhrases(g)
			if err != nil {
				return nil, fmt.Errorf("%w: rule %q: %w", ErrCues, r.ID, err)
			}
			rule.all = append(rule.all, phrases)
			groups++
		}
		last := len(rule.all) - 1
		rule.all, rule.unless = rule.all[:last], rule.all[last]
		for _, g := range rule.all {
			if len(g) == 0 {
				return nil, fmt.Errorf("%w: rule %q has an empty group", ErrCues, r.ID)
			}
		}
		c.rules = append(c.rules, rule)
	}
	if groups > maxGroups {
		return nil, fmt.Errorf("%w: %d groups of phrases, and %d are the most; join rules", ErrCues, groups, maxGroups)
	}
	for i, t := range file.Tests {
		test := CueTest{System: t.System, Text: t.Text}
		for _, name := range t.Want {
			if classes[name] == 0 {
				return nil, fmt.Errorf("%w: test %d wants the unknown class %q", ErrCues, i+1, name)
			}
			test.Want |= classes[name]
		}
		c.tests = append(c.tests, test)
	}
	return c, nil
}

// Tests returns the examples of the rule file.
func (c *Cues) Tests() []CueTest { return c.tests }

// CueNames returns the names of the classes in s, in the order of their bits.
func CueNames(s palladium.CueSet) []string {
	all := [...]string{"reasoning", "backfill", "grading", "synthesis", "persona", "rewrite", "classifier", "format", "probe"}
	var out []string
	for i, name := range all {
		if s>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return out
}

// part of a phrase: alternatives of which one must stand there, each a run of words, or a gap.
type part struct {
	gap  bool
	alts []string
}

func parsePhrases(group []string) ([][]part, error) {
	var out [][]part
	for _, text := range group {
		p, err := parsePhrase(text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePhrase(text string) ([]part, error) {
	var out []part
	gaps := strings.Count(text, "..")
	for rest := text; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			open = len(rest)
		}
		if strings.ContainsAny(rest[:open], "}|") {
			return nil, fmt.Errorf("phrase %q has an alternative outside {}", text)
		}
		for i, words := range strings.Split(rest[:open], "..") {
			if i > 0 {
				out = append(out, part{gap: true})
			}
			out = append(out, part{alts: []string{words}})
		}
		if rest = rest[open:]; rest == "" {
			break
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 || strings.Contains(rest[1:end], "{") || strings.Contains(rest[:end], "..") {
			return nil, fmt.Errorf("phrase %q does not close each { with one }, or has a gap between them", text)
		}
		out = append(out, part{alts: strings.Split(rest[1:end], "|")})
		rest = rest[end+1:]
	}
	if len(out) > maxParts || gaps > maxGaps {
		return nil, fmt.Errorf("phrase %q has more than %d parts or %d gaps; split it", text, maxParts, maxGaps)
	}
	return out, nil
}
