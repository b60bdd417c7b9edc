// Package judge turns what is known of a group of accounts into a stage: act, review, watch, linked or none, by a
// policy that the operator can read, change and prove before use.
//
// A policy is a YAML file of ordered rules whose conditions are CEL expressions over the named fields of Facts, type
// checked when the policy is loaded. Two promises do not depend on the policy: see MinKeys and VouchedShare.
package judge

import (
	"math"

	"github.com/palladium-guard/palladium"
)

// MinKeys is the two-key rule: a group with evidence of fewer independent keys is never given palladium.StageAct.
const MinKeys = 2

// VouchedShare is the share of vouched accounts from which on a group is never given palladium.StageAct.
const VouchedShare = 0.5

// None is the stage of a group for which no rule holds: it is not listed.
const None palladium.Stage = ""

// Facts are what the engines found out about one group. Every field can be named in a policy; Fields says how.
type Facts struct {
	Accounts         int                // members of the group
	OperatorP        float64            // p-value of "the accounts act independently"
	OperatorE        float64            // e-value against "the accounts act independently"
	OperatorRejected bool               // e-BH over all groups of the run rejects independence
	ExtractionP      float64            // conformal p-value of "one more benign linked group"
	ExtractionScore  float64            // fitted log-odds that the use is extraction
	Keys             int                // independent keys (palladium.Key) that have evidence
	Families         []string           // families (palladium.Family) that have evidence
	Weight           map[string]float64 // family -> mean nats per account; an absent family counts as 0
	Exchanges        int64              // exchanges drawn by the members
	Tokens           palladium.Tokens   // tokens drawn by the members
	Hours            float64            // hours from the first exchange to the last
	Days             int                // days on which the one-operator test had data
	Calibrated       bool               // there were enough benign linked groups for ExtractionP to mean anything
	References       int                // benign linked groups that ExtractionP was computed against
	ReferenceFloor   float64            // least ExtractionP that so many references can give, 1/(References+1)
	Vouched          float64            // share of accounts that the operator vouches for, in [0,1]
	Declared         float64            // largest share of accounts that declare one and the same organisation, in [0,1]
	Collisions       float64            // prompts repeated between members, as a share of the repeats that independent use of the same list expects
	Probing          bool               // the members together sweep logit_bias or logprobs over the vocabulary
	Whole            bool               // no part of the group is left out by a model of the rest
	Acted            bool               // the group, or a fifth of it, was at act before
	Linked           bool               // the members share more than chance explains
}

// Decision is the outcome for one group.
type Decision struct {
	Stage   palladium.Stage // None when no rule holds
	Rule    string          // name of the rule that held; empty with None
	Why     string          // what the rule that held says, in the policy's words; empty with None
	Because []string        // one sentence for each rule tried, in order; the last is the rule that held
	Met     []string        // every condition of the rule that held; were one of them to fail, the stage would change
}

// Decide tries the rules in order and returns the stage of the first that holds. A rule whose condition cannot be
// evaluated does not hold. A probability that is not a number counts as 1, a share that is not a number as 1, so
// missing numbers never lead to action. It is a pure function and safe for concurrent use.
func (p *Policy) Decide(f Facts) Decision {
	f = f.sane()
	d := Decision{Because: make([]string, 0, len(p.rules))}
	for i := range p.rules {
		r := &p.rules[i]
		held, met, failed := r.try(&f)
		if !held {
			d.Because = append(d.Because, r.head()+"no: "+join(failed))
			continue
		}
		if r.stage == palladium.StageAct {
			if why := f.withheld(); why != "" {
				d.Because = append(d.Because, r.head()+"withheld: "+why)
				continue
			}
		}
		d.Stage, d.Rule, d.Why, d.Met = r.stage, r.name, r.because, met
		d.Because = append(d.Because, r.head()+"yes: "+r.because)
		return d
	}
	d.Because = append(d.Because, "no rule holds: the group is not listed")
	return d
}

// withheld says which promise forbids acting on f, or nothing.
func (f *Facts) withheld() string {
	if k := f.keys(); k < MinKeys {
		return "two-key rule: " + count(k, "independent key") + " of evidence, two are always wanted"
	}
	if f.Vouched >= VouchedShare {
		return "the operator vouches for this group"
	}
	return ""
}

// keys is the number of independent keys, and never more than the families can account for.
func (f *Facts) keys() int {
	if len(f.Families) == 0 {
		return f.Keys
	}
	seen := make(map[palladium.Key]bool, 3)
	for _, fam := range f.Families {
		seen[palladium.Family(fam).Key()] = true
	}
	return min(f.Keys, len(seen))
}

// sane replaces what is not a number by the value that speaks for the group.
func (f Facts) sane() Facts {
	for _, v := range []*float64{&f.OperatorP, &f.ExtractionP, &f.Vouched, &f.Declared, &f.ReferenceFloor} {
		if math.IsNaN(*v) || *v > 1 {
			*v = 1
		} else if *v < 0 {
			*v = 0
		}
	}
	for _, v := range []*float64{&f.OperatorE, &f.Hours, &f.Collisions, &f.ExtractionScore} {
		if math.IsNaN(*v) {
			*v = 0
		}
	}
	f.Keys = f.keys()
	return f
}
