// Package record has the nouns of the catalog as plain values, so that engines can speak of them without the database: what
// people and policies did about campaigns, accounts and models. Times are in UTC with milliseconds. JSON names are those of the
// operator's API.
package record

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

// Columns ties the columns of a table to the fields of a noun: one function for each noun names them all. Value takes the place
// of a text, number, truth value, time, list or JSON of any length. Key is for what identifies, and must not be empty; Ref for
// the key of something else; Word for indexed text, which may be cut; Known for a time whose zero means that it is not known;
// Hex for bytes that are looked up; Derived for what follows from the other fields and is not read back.
type Columns interface {
	Key(column string, p *string)
	Ref(column string, p *string)
	Word(column string, p *string)
	Known(column string, p *time.Time)
	Hex(column string, p *[]byte)
	Value(column string, p any)
	Derived(column string, value func() any)
}

// Check refuses a state or a resolution that there is not.
func (c *Campaign) Check() error { return work(c.State, c.Resolution) }

// Check refuses a state or a resolution that there is not.
func (c *Case) Check() error { return work(c.State, c.Resolution) }

func work(state, resolution string) error {
	return errors.Join(oneOf("state", state, WorkNew, WorkInProgress, WorkOnHold, WorkResolved, WorkClosed),
		oneOf("resolution", resolution, "", ResolvedTruePositive, ResolvedBenign, ResolvedFalsePositive, ResolvedDuplicate, ResolvedAccepted))
}

// Check refuses a state or a measure that there is not.
func (v *Verdict) Check() error {
	return errors.Join(oneOf("state", v.State, append(decided(), StateProposed)...), oneOf("measure", v.Measure, palladium.Measures()...))
}

// Check refuses a state or a measure that there is not.
func (d *Decision) Check() error {
	return errors.Join(oneOf("state", d.State, decided()...), oneOf("measure", d.Measure, palladium.Measures()...))
}

func decided() []string {
	return []string{StatePending, StateEnforced, StateShadow, StateRevoked, StateExpired, StateRefused}
}

// Check refuses a state that there is not.
func (a *Approval) Check() error {
	return oneOf("state", a.State, ApprovalOpen, ApprovalApproved, StateRefused, StateExpired)
}

// Check refuses a state that there is not.
func (a *Appeal) Check() error {
	return oneOf("state", a.State, AppealOpen, AppealInReview, AppealUpheld, AppealOverturned, AppealWithdrawn)
}

// Check refuses a kind that there is not.
func (a *Allow) Check() error { return oneOf("kind", a.Kind, KindAllow, KindResearcher, KindEvaluator) }

// Check refuses a kind that there is not.
func (p *Policy) Check() error { return oneOf("kind", p.Kind, PolicyJudge, PolicyEnforcement) }

// Check refuses a role that there is not.
func (u *User) Check() error {
	return oneOf("role", u.Role, RoleViewer, RoleAnalyst, RoleApprover, RoleAdmin, RoleAuditor)
}

func oneOf[T ~string](field string, value T, list ...T) error {
	if slices.Contains(list, value) {
		return nil
	}
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = string(v)
	}
	return fmt.Errorf("%s %.40q is none of %s", field, string(value), strings.TrimPrefix(strings.Join(names, ", "), ", "))
}

// Rank is how far a stage is: linked 0, watch 1, review 2, act 3, and -1 for what is no stage.
func Rank(s palladium.Stage) int {
	return slices.Index([]palladium.Stage{palladium.StageLinked, palladium.StageWatch, palladium.StageReview, palladium.StageAct}, s)
}

// Risk orders the queue, in [0,1]: by stage first, then by the output tokens drawn. Half of what a stage leaves open is reached
// at a million. Linked groups have none.
func Risk(c *palladium.Campaign) float64 {
	rank := Rank(c.Stage)
	if rank <= 0 {
		return 0
	}
	out := float64(max(c.Tokens.Output, 0))
	return float64(rank)*0.3 - 0.2 + 0.3*out/(out+1e6)
}

// Trend is what was drawn in the 24 hours before now over what was drawn in the 24 hours before these, in output tokens, by the
// steps of the timeline; 0 when it shows nothing of the latter.
func Trend(d *palladium.Detail, now time.Time) float64 {
	if d == nil {
		return 0
	}
	var last, before float64
	for _, t := range d.Timeline {
		switch age := now.Sub(t.Start); {
		case age < 24*time.Hour:
			last += float64(t.Tokens.Output)
		case age < 48*time.Hour:
			before += float64(t.Tokens.Output)
		}
	}
	if before == 0 {
		return 0
	}
	return math.Round(min(last/before, 1e6)*1000) / 1000
}

// Urgency orders lists of work: what is open by its due time, what has none after that, and what is done last, newest first.
func Urgency(open bool, due *time.Time, since time.Time) int64 {
	const never = int64(1) << 50 // ms: beyond any date
	switch {
	case open && due != nil:
		return due.UnixMilli()
	case open:
		return never
	}
	return 3*never - since.UnixMilli()
}
