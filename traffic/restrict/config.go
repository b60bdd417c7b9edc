package restrict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/internal/wildcard"
	"github.com/palladium-guard/palladium/internal/wire"
)

// Config is the section restrict of the configuration. Rules change, in their order, what Default says and what the
// rules before them say.
type Config struct {
	Rules []Rule `yaml:"rules"`
}

// Rule changes the policy for some plans and models.
type Rule struct {
	Plans  []string `yaml:"plans,omitempty"`  // none given: all; * stands for anything
	Models []string `yaml:"models,omitempty"` // the same; as the caller names them
	// Features by name: those of wire.Features, and bias_with_logprobs, guided_with_logprobs, seed_with_probe,
	// edited_reasoning, bias_sweep (distinct pairs of token and bias of an account a day).
	Features map[string]Action `yaml:"features,omitempty"`
	// Fields are top-level request fields by their exact name: allow, strip or refuse, whatever their feature says.
	Fields map[string]Action `yaml:"fields,omitempty"`
	// Unknown is for top-level fields that no dialect knows: allow, strip or refuse.
	Unknown *Action `yaml:"unknown,omitempty"`
	// Reasoning is what happens to reasoning text: pass, summarise or withhold. Summaries are the upstream's own: of the
	// responses API, and of the messages API where the upstream heeds thinking.display. Anything else is withheld.
	Reasoning string `yaml:"reasoning,omitempty"`
	// Decimals is to how many digits after the point embeddings are rounded; -1 passes them as they are.
	Decimals *int `yaml:"embedding_decimals,omitempty"`
}

// The features that only this package knows, numbered behind those of package wire.
const (
	biasWithLogprobs = wire.Feature(iota + 64)
	guidedWithLogprobs
	seedWithProbe
	editedReasoning
	biasSweep
	featureCount = int(iota + 64)
)

// names returns all features by name.
func names() map[string]wire.Feature {
	out := map[string]wire.Feature{
		"bias_with_logprobs": biasWithLogprobs, "guided_with_logprobs": guidedWithLogprobs, "seed_with_probe": seedWithProbe,
		"edited_reasoning": editedReasoning, "bias_sweep": biasSweep,
	}
	for _, f := range wire.Features() {
		if f != wire.Reasoning { // has a key of its own
			out[f.String()] = f
		}
	}
	return out
}

// Default is the policy that is in force before the rules of a configuration. It takes away what answers do not need
// and model theft does; what evaluation harnesses need is open to the plans eval, research and internal.
func Default() Config {
	decimals := 5
	act := func(v Verb, n int64) Action { return Action{Verb: v, Number: n} }
	return Config{Rules: []Rule{
		{
			Features: map[string]Action{
				"n": act(Limit, 4), "best_of": act(Limit, 4), "echo": act(Refuse, 0),
				"logprobs": act(Strip, 0), "top_logprobs": act(Strip, 0), "prompt_logprobs": act(Refuse, 0),
				"logit_bias": act(Limit, 32), "bias_with_logprobs": act(Refuse, 0), "bias_sweep": act(Limit, 300),
				"guided": act(Allow, 0), "guided_with_logprobs": act(Refuse, 0),
				"seed": act(Allow, 0), "seed_with_probe": act(Strip, 0),
				"prefill": act(Limit, 16), "prior_reasoning": act(Allow, 0), "edited_reasoning": act(Refuse, 0),
				"dimensions": act(Allow, 0), "internals": act(Refuse, 0), "template": act(Refuse, 0), "engine": act(Refuse, 0),
			},
			Unknown: &Action{Verb: Allow}, Reasoning: "pass", Decimals: &decimals,
		},
		{
			Plans: []string{"eval", "research", "internal"},
			Features: map[string]Action{
				"n": act(Limit, 16), "best_of": act(Limit, 16), "logprobs": act(Allow, 0), "top_logprobs": act(Cap, 5),
				"guided_with_logprobs": act(Allow, 0), "seed_with_probe": act(Allow, 0), "prefill": act(Limit, 4096),
			},
		},
	}}
}

// rule is a compiled Rule.
type rule struct {
	plans, models []string
	actions       []setting
	fields        map[string]Action
	unknown       *Action
	reasoning     shown
	decimals      *int
}

type setting struct {
	feature wire.Feature
	action  Action
}

// shown is how much of the reasoning a caller sees; zero leaves it as it is.
type shown uint8

const (
	pass shown = iota + 1
	summarise
	withhold
)

// Policy is a compiled Config. It never changes and is safe for concurrent use.
type Policy struct{ rules []rule }

// New compiles a configuration on top of Default. Errors name the rule, counted from 1, and the key.
func New(c Config) (*Policy, error) {
	p := &Policy{}
	known := names()
	for k, rules := range [][]Rule{Default().Rules, c.Rules} {
		for i, r := range rules {
			compiled, err := compile(r, known)
			if err != nil {
				return nil, fmt.Errorf("restrict: %s %d: %w", [...]string{"default rule", "rule"}[k], i+1, err)
			}
			p.rules = append(p.rules, compiled)
		}
	}
	return p, nil
}

func compile(r Rule, known map[string]wire.Feature) (rule, error) {
	out := rule{plans: r.Plans, models: r.Models, fields: r.Fields, unknown: r.Unknown, decimals: r.Decimals}
	for _, name := range sorted(r.Features) {
		f, ok := known[name]
		if !ok {
			return out, fmt.Errorf("unknown feature %q: write one of %s", name, strings.Join(sorted(known), ", "))
		}
		if err := suits(f, r.Features[name]); err != nil {
			return out, fmt.Errorf("features.%s: %w", name, err)
		}
		out.actions = append(out.actions, setting{f, r.Features[name]})
	}
	for _, name := range sorted(r.Fields) {
		if err := plain(r.Fields[name]); err != nil {
			return out, fmt.Errorf("fields.%s: %w", name, err)
		}
	}
	if r.Unknown != nil {
		if err := plain(*r.Unknown); err != nil {
			return out, fmt.Errorf("unknown: %w", err)
		}
	}
	switch r.Reasoning {
	case "":
	case "pass":
		out.reasoning = pass
	case "summarise":
		out.reasoning = summarise
	case "withhold":
		out.reasoning = withhold
	default:
		return out, fmt.Errorf("reasoning: unknown word %q: write pass, summarise or withhold", r.Reasoning)
	}
	if r.Decimals != nil && (*r.Decimals < -1 || *r.Decimals > 17) {
		return out, fmt.Errorf("embedding_decimals: %d is not a number of digits: write 0 to 17, or -1 for no rounding", *r.Decimals)
	}
	if len(r.Features)+len(r.Fields) == 0 && r.Unknown == nil && r.Reasoning == "" && r.Decimals == nil {
		return out, fmt.Errorf("it changes nothing: add features, fields, unknown, reasoning or embedding_decimals, or remove it")
	}
	return out, nil
}

// suits reports whether an action makes sense for a feature.
func suits(f wire.Feature, a Action) error {
	bad := func(verbs string) error { return fmt.Errorf("%q makes no sense here: write %s", a, verbs) }
	switch f {
	case wire.N, wire.BestOf, wire.TopLogprobs, wire.PromptLogprobs:
		if a.Verb == 0 {
			return bad("allow, strip, cap, limit or refuse")
		}
	case wire.LogitBias, wire.Prefill:
		if a.Verb == Cap || a.Verb == 0 {
			return bad("allow, strip, limit or refuse")
		}
	case biasSweep:
		if a.Verb != Allow && a.Verb != Limit {
			return bad("allow or limit")
		}
	default:
		return plain(a)
	}
	return nil
}

func plain(a Action) error {
	if a.Verb != Allow && a.Verb != Strip && a.Verb != Refuse {
		return fmt.Errorf("%q makes no sense here: write allow, strip or refuse", a)
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// terms is what holds for one plan and model.
type terms struct {
	actions   [featureCount]Action
	unknown   Action
	reasoning shown
	decimals  int
}

// matches reports whether name fits one of the patterns, of which none given fits all.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || wildcard.Any(patterns, name)
}

// terms collects what the rules say.
func (p *Policy) terms(into *terms, plan, model string) {
	*into = terms{}
	for i := range p.rules {
		r := &p.rules[i]
		if !matches(r.plans, plan) || !matches(r.models, model) {
			continue
		}
		for _, s := range r.actions {
			into.actions[s.feature] = s.action
		}
		if r.unknown != nil {
			into.unknown = *r.unknown
		}
		if r.reasoning != 0 {
			into.reasoning = r.reasoning
		}
		if r.decimals != nil {
			into.decimals = *r.decimals
		}
	}
}

// field returns what the rules say of a field by its name; ok is false when they say nothing.
func (p *Policy) field(plan, model, name string) (a Action, ok bool) {
	for i := range p.rules {
		r := &p.rules[i]
		if f, has := r.fields[name]; has && matches(r.plans, plan) && matches(r.models, model) {
			a, ok = f, true
		}
	}
	return a, ok
}
