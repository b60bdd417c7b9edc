package process

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Notices words what the holders of the accounts are told when verdicts of a decision come into force: the measure and what
// it means, why, whether a machine decided, to what it applies, until when, and how to object. Verdicts that are only
// recorded tell nobody. appealAt is the address of the appeal page before the reference. The ids follow from the verdicts',
// so that the same verdict is not told twice.
func Notices(d *catalog.Decision, verdicts []catalog.Verdict, appealAt string, at time.Time) (out []catalog.Notice) {
	for i := range verdicts {
		v := &verdicts[i]
		if v.State != catalog.StateEnforced || v.Measure == palladium.MeasureObserve {
			continue
		}
		n := catalog.Notice{ID: "nt_" + v.ID, Account: v.Account, Verdict: v.ID, Decision: d.ID, At: at, Reason: v.Reason, Measure: v.Measure,
			Automated: v.Automated, Scope: "all requests of this account", Expires: v.Expires, AppealRef: v.Appeal}
		n.Text = words(&n, d, v, appealAt)
		out = append(out, n)
	}
	return out
}

// words writes a notice. It says what class of use led to it and when, never a threshold, nor who else is concerned.
func words(n *catalog.Notice, d *catalog.Decision, v *catalog.Verdict, appealAt string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", meaning(n.Measure, v))
	fmt.Fprintf(&b, "Why: %s (code %s).\n", reason(n.Reason), n.Reason)
	if d.Text != "" {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(d.Text))
	}
	how := "A person decided this; a program drew their attention to it."
	if n.Automated {
		how = "A program found this and decided it by the rules of this site. You have the right to have a person look at it."
	}
	fmt.Fprintf(&b, "\n%s\nIt applies to %s, from %s until %s, and ends then by itself.\n", how, n.Scope, day(n.At), day(n.Expires))
	fmt.Fprintf(&b, "\nYou can object, free of charge, also while you are blocked. Somebody who did not take this decision will look at it.\nReference: %s\n", n.AppealRef)
	if appealAt != "" {
		fmt.Fprintf(&b, "%s/%s\n", strings.TrimSuffix(appealAt, "/"), n.AppealRef)
	}
	return b.String()
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") }

// meaning says what a measure does, in words for the one whom it hits.
func meaning(m palladium.Measure, v *catalog.Verdict) string {
	switch m {
	case palladium.MeasureSlow:
		return "Answers to your account come more slowly than usual."
	case palladium.MeasureBudget:
		return fmt.Sprintf("Your account has a daily limit: together with other accounts it may draw %d output tokens a day.", v.Tokens)
	case palladium.MeasureWithhold:
		return "Answers to your account come without token probabilities and without the text of reasoning, and one at a time."
	case palladium.MeasureStepUp:
		return "Requests of your account are refused until you have verified who you are."
	case palladium.MeasureSmaller:
		return fmt.Sprintf("Requests of your account are answered by another model (%s), as each answer says.", v.Model)
	case palladium.MeasureSuspend:
		return "Requests of your account are refused."
	}
	return "Your account is observed; nothing is changed."
}

// reason says in words what a reason code stands for.
func reason(code string) string {
	switch {
	case strings.HasSuffix(code, ".extraction"):
		return "your account is used together with others, by what looks like one operator, in a way that copies the model: large numbers of prompts whose answers serve to train another one. The terms of use forbid this"
	case strings.HasSuffix(code, ".linked"):
		return "your account is run together with others by what looks like one operator"
	}
	return "your use is not in keeping with the terms of use"
}

func (d *Desk) listNotices(q *api.Request) (*api.Answer, error) {
	query := catalog.NoticeQuery{Page: pageOf(q), Account: q.Param("account"), Decision: q.Param("decision")}
	list, next, err := d.o.Catalog.ListNotices(q.Context(), query)
	if err != nil {
		return nil, err
	}
	return api.OKCounted(q, list, next, func(ctx context.Context) (int64, error) { return d.o.Catalog.CountNotices(ctx, query) })
}
