// Package sanction turns what was found into what is to be done: campaigns with their stages and a policy in, orders of
// measures out. It decides nothing about guilt, which judge did, and enforces nothing, which gateways do.
package sanction

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// Mode says whether orders are carried out.
type Mode string

// The modes.
const (
	Shadow  Mode = "shadow"  // recorded, never enforced: the default
	Enforce Mode = "enforce" // measures that Config.Enforce names are enforced, the others recorded
)

// Config is the section enforcement of the configuration.
type Config struct {
	Mode     Mode                     `yaml:"mode,omitempty"`
	Enforce  []palladium.Measure      `yaml:"enforce,omitempty"`  // in mode enforce; empty means every measure
	Stages   map[palladium.Stage]Rule `yaml:"stages,omitempty"`   // act and review; a stage left out is as in Defaults
	Approval *[]palladium.Measure     `yaml:"approval,omitempty"` // need a second person; left out: suspend and step-up
	Appeal   string                   `yaml:"appeal,omitempty"`   // address of the appeal page, before the reference
	Hold     time.Duration            `yaml:"hold,omitempty"`     // no measure of policy for this long on accounts that a person let go; 0 means 90 days
}

// Rule is what a stage leads to. Its terms are those of palladium.Verdict.
type Rule struct {
	Measure         palladium.Measure `yaml:"measure"`
	For             time.Duration     `yaml:"for,omitempty"`            // how long one decision holds; 0 means 72 hours
	Membership      float64           `yaml:"min_membership,omitempty"` // accounts below it are left alone; 0 means 0.9
	Delay           time.Duration     `yaml:"delay,omitempty"`
	TokensPerSecond float64           `yaml:"tokens_per_second,omitempty"`
	Tokens          int64             `yaml:"tokens,omitempty"` // budget: output tokens a day for the campaign together
	Model           string            `yaml:"model,omitempty"`
}

// Durations and bounds that rules fall back on.
const (
	defaultFor        = 72 * time.Hour
	defaultHold       = 90 * 24 * time.Hour
	defaultMembership = 0.9
	minFor            = time.Minute
	maxFor            = 90 * 24 * time.Hour // longer is a ban, and no policy bans
)

// Defaults returns the rules of stages that a configuration leaves out: a campaign at act shares a budget of 1,000
// output tokens a day, one at review is observed.
func Defaults() map[palladium.Stage]Rule {
	return map[palladium.Stage]Rule{
		palladium.StageAct:    {Measure: palladium.MeasureBudget, Tokens: 1_000},
		palladium.StageReview: {Measure: palladium.MeasureObserve},
	}
}

// Filled returns c with what New puts in the place of what is left out, to be shown.
func (c Config) Filled() Config {
	c.Mode, c.Hold = cmp.Or(c.Mode, Shadow), cmp.Or(c.Hold, defaultHold)
	if c.Approval == nil {
		c.Approval = new(seconded())
	}
	stages := Defaults()
	maps.Copy(stages, c.Stages)
	for stage, r := range stages {
		r.For, r.Membership = cmp.Or(r.For, defaultFor), cmp.Or(r.Membership, defaultMembership)
		stages[stage] = r
	}
	c.Stages = stages
	return c
}

// seconded are the measures that need a second person where nothing is said.
func seconded() []palladium.Measure {
	return []palladium.Measure{palladium.MeasureSuspend, palladium.MeasureStepUp}
}

// ErrConfig is wrapped by every error of New.
var ErrConfig = errors.New("enforcement policy refused")

// Policy is a checked Config. It is immutable and safe for concurrent use.
type Policy struct {
	mode     Mode
	enforce  map[palladium.Measure]bool // nil: all
	approval map[palladium.Measure]bool
	stages   map[palladium.Stage]Rule
	appeal   string
	hold     time.Duration
}

// New checks c and fills what it leaves out. Errors wrap ErrConfig and name the key at fault.
func New(c Config) (*Policy, error) {
	p := &Policy{mode: cmp.Or(c.Mode, Shadow), stages: Defaults(), appeal: c.Appeal, hold: cmp.Or(c.Hold, defaultHold)}
	if p.mode != Shadow && p.mode != Enforce {
		return nil, fmt.Errorf("%w: mode %q is neither shadow nor enforce", ErrConfig, clip(string(c.Mode)))
	}
	if p.hold < 0 {
		return nil, fmt.Errorf("%w: hold is negative: write a time such as 2160h", ErrConfig)
	}
	var err error
	if p.enforce, err = set("enforce", c.Enforce); err != nil {
		return nil, err
	}
	if len(c.Enforce) == 0 {
		p.enforce = nil
	} else if p.mode == Shadow {
		return nil, fmt.Errorf("%w: enforce names measures, but mode is shadow and none would be enforced: set mode: enforce, or leave enforce out", ErrConfig)
	}
	second := seconded()
	if c.Approval != nil {
		second = *c.Approval
	}
	if p.approval, err = set("approval", second); err != nil {
		return nil, err
	}
	for stage, r := range c.Stages {
		if stage != palladium.StageAct && stage != palladium.StageReview {
			return nil, fmt.Errorf("%w: stages.%s: only act and review lead to measures", ErrConfig, clip(string(stage)))
		}
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("%w: stages.%s: %w", ErrConfig, stage, err)
		}
		p.stages[stage] = r
	}
	for stage, r := range p.stages {
		r.For, r.Membership = cmp.Or(r.For, defaultFor), cmp.Or(r.Membership, defaultMembership)
		p.stages[stage] = r
	}
	return p, nil
}

func set(key string, list []palladium.Measure) (map[palladium.Measure]bool, error) {
	out := make(map[palladium.Measure]bool, len(list))
	for _, m := range list {
		if !slices.Contains(palladium.Measures(), m) {
			return nil, fmt.Errorf("%w: %s: %q is none of %s", ErrConfig, key, clip(string(m)), measures())
		}
		out[m] = true
	}
	return out, nil
}

func (r *Rule) check() error {
	switch {
	case !slices.Contains(palladium.Measures(), r.Measure):
		return fmt.Errorf("measure %q is none of %s", clip(string(r.Measure)), measures())
	case r.For != 0 && (r.For < minFor || r.For > maxFor):
		return fmt.Errorf("for is %s: every measure expires, after %s at least and %s at most", r.For, minFor, maxFor)
	case !(r.Membership >= 0 && r.Membership <= 1):
		return errors.New("min_membership is not between 0 and 1")
	case r.Delay < 0 || r.Tokens < 0 || !(r.TokensPerSecond >= 0):
		return errors.New("delay, tokens or tokens_per_second is negative")
	case r.Measure == palladium.MeasureSlow && r.Delay == 0 && r.TokensPerSecond == 0:
		return errors.New("measure slow needs delay or tokens_per_second")
	case r.Measure == palladium.MeasureBudget && r.Tokens == 0:
		return errors.New("measure budget needs tokens, the output tokens a day for the campaign together")
	case r.Measure == palladium.MeasureSmaller && r.Model == "":
		return errors.New("measure smaller-model needs model, the one that answers instead")
	}
	return nil
}

// Enforced reports whether verdicts of measure m are enforced, and not only recorded.
func (p *Policy) Enforced(m palladium.Measure) bool {
	return p.mode == Enforce && (p.enforce == nil || p.enforce[m])
}

// NeedsApproval reports whether a second person must agree before m is enforced. What is only recorded needs nobody.
func (p *Policy) NeedsApproval(m palladium.Measure) bool { return p.approval[m] && p.Enforced(m) }

// Hold returns how long accounts that a person let go are left alone by policy.
func (p *Policy) Hold() time.Duration { return p.hold }

// Mode returns the mode.
func (p *Policy) Mode() Mode { return p.mode }

// AppealAt returns the address at which the holder of the reference can appeal; the reference alone when none is configured.
func (p *Policy) AppealAt(ref string) string {
	if p.appeal == "" {
		return ref
	}
	return strings.TrimSuffix(p.appeal, "/") + "/" + ref
}

func measures() string {
	var names []string
	for _, m := range palladium.Measures() {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Like completes a rule of which only the measure and its terms are known with what the rules of that measure and those terms
// say; a rule that is in no stage is given back as it is.
func (p *Policy) Like(r Rule) Rule {
	for _, stage := range []palladium.Stage{palladium.StageAct, palladium.StageReview} {
		s := p.stages[stage]
		if s.Measure == r.Measure && s.Delay == r.Delay && s.TokensPerSecond == r.TokensPerSecond && s.Tokens == r.Tokens && s.Model == r.Model {
			return s
		}
	}
	return r
}
