package palladium

import "time"

// Measure is what a verdict does to an account's requests. Each is reversible; none gives a false answer.
type Measure string

// The measures, mildest first.
const (
	MeasureObserve  Measure = "observe"       // nothing is changed; exchanges are marked
	MeasureSlow     Measure = "slow"          // delay before the first byte and a lower token rate
	MeasureBudget   Measure = "budget"        // one token budget for all accounts of the campaign together
	MeasureWithhold Measure = "withhold"      // no logprobs, one answer a request, no reasoning text
	MeasureStepUp   Measure = "step-up"       // refused until the account holder has verified
	MeasureSmaller  Measure = "smaller-model" // answered by another model, which the answer names
	MeasureSuspend  Measure = "suspend"       // refused
)

// Measures returns all measures, mildest first.
func Measures() []Measure {
	return []Measure{
		MeasureObserve, MeasureSlow, MeasureBudget, MeasureWithhold, MeasureStepUp, MeasureSmaller, MeasureSuspend,
	}
}

// Refuses reports whether requests under m get no answer of a model.
func (m Measure) Refuses() bool { return m == MeasureStepUp || m == MeasureSuspend }

// Verdict is a decision about one account. It holds until Expires, and no longer.
type Verdict struct {
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	Campaign string    `json:"campaign,omitempty"` // the campaign that led to it
	Stage    Stage     `json:"stage,omitempty"`    // of the campaign when it was decided
	Measure  Measure   `json:"measure"`
	Reason   string    `json:"reason"` // code shown to the caller, such as campaign.extraction
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Shadow   bool      `json:"shadow,omitempty"` // recorded, not enforced
	Appeal   string    `json:"appeal,omitempty"` // reference that the account holder quotes when appealing

	Delay           time.Duration `json:"delay,omitempty"`             // slow: before the first byte
	TokensPerSecond float64       `json:"tokens_per_second,omitempty"` // slow: pace of the answer
	Tokens          int64         `json:"tokens,omitempty"`            // budget: output tokens a day, for the campaign together
	Model           string        `json:"model,omitempty"`             // smaller-model: what answers instead
}

// InForce reports whether v holds at the time now.
func (v *Verdict) InForce(now time.Time) bool { return !now.Before(v.Issued) && now.Before(v.Expires) }
