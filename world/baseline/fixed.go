package baseline

import (
	"strings"

	"github.com/palladium-guard/palladium"
)

// FixedWeights scores accounts one by one with weights set by hand, in the manner of rule-of-thumb scanners: a
// signal is worth so much, and accounts with FixedThreshold or more are flagged. The signals and their weights are
// our own reading of common practice, not fitted to anything.
type FixedWeights struct {
	datacenter func(asn uint32) bool
	roll       roll
	accounts   []habits
	payments   map[string]uint32 // accounts on each
	clients    map[uint64]uint32
}

// FixedThreshold is the score from which on an account is flagged; all signals together give 1.
const FixedThreshold = 0.6

type habits struct {
	hour, day               int32
	thisHour, peak          uint32
	thisDay, peakDay        uint32
	n, cued, single, hosted uint32
	payment                 string
	client                  uint64
	hours                   uint32 // hours of the day in which it was active, one bit each
	outputs, inputs         uint64
}

// NewFixedWeights returns one without accounts. datacenter may be nil.
func NewFixedWeights(datacenter func(asn uint32) bool) *FixedWeights {
	if datacenter == nil {
		datacenter = func(uint32) bool { return false }
	}
	return &FixedWeights{datacenter: datacenter, roll: newRoll(), payments: map[string]uint32{}, clients: map[uint64]uint32{}}
}

// Name implements Baseline.
func (f *FixedWeights) Name() string { return "fixed weights" }

func (f *FixedWeights) habits(id string) *habits {
	n, fresh := f.roll.of(id)
	if fresh {
		f.accounts = append(f.accounts, habits{})
	}
	return &f.accounts[n]
}

// Account implements Baseline.
func (f *FixedWeights) Account(a *palladium.Account) {
	h := f.habits(a.ID)
	if a.Payment == "" || h.payment == a.Payment {
		return
	}
	h.payment = strings.Clone(a.Payment)
	f.payments[h.payment]++
}

// Observe implements Baseline.
func (f *FixedWeights) Observe(o *palladium.Observation, _ *palladium.Exchange) {
	h := f.habits(o.Account)
	if hour := int32(o.Time / hourMillis); hour != h.hour {
		h.hour, h.thisHour = hour, 0
	}
	if day := int32(o.Time / dayMillis); day != h.day {
		h.day, h.thisDay = day, 0
	}
	h.thisHour++
	h.thisDay++
	h.peak, h.peakDay = max(h.peak, h.thisHour), max(h.peakDay, h.thisDay)
	h.n++
	h.hours |= 1 << (o.Time / hourMillis % 24)
	if o.Cues&(palladium.CueReasoning|palladium.CueBackfill|palladium.CueGrading|palladium.CueSynthesis|palladium.CuePersona) != 0 {
		h.cued++
	}
	if o.Turns <= 1 {
		h.single++
	}
	if o.ASN != 0 && f.datacenter(o.ASN) {
		h.hosted++
	}
	h.inputs += uint64(max(o.Usage.Input, 0))
	h.outputs += uint64(max(o.Usage.Output, 0))
	if h.client == 0 && o.Client != 0 {
		h.client = o.Client
		f.clients[o.Client]++
	}
}

// score returns the sum of the weights of what h shows, in [0,1].
func (f *FixedWeights) score(h *habits) float64 {
	if h.n < 10 {
		return 0
	}
	n, s := float64(h.n), 0.0
	add := func(shown bool, weight float64) {
		if shown {
			s += weight
		}
	}
	add(h.peak > 60, 0.15)     // a request a minute
	add(h.peakDay > 500, 0.10) // and all day
	add(float64(h.cued) > 0.2*n, 0.25)
	add(float64(h.single) > 0.95*n, 0.10)
	add(float64(h.hosted) > 0.5*n, 0.10)
	add(h.hours == 1<<24-1, 0.10) // never sleeps
	add(h.inputs > 0 && float64(h.outputs) > 3*float64(h.inputs), 0.05)
	add(h.payment != "" && f.payments[h.payment] >= 3, 0.10)
	shared := f.clients[h.client]
	add(h.client != 0 && shared >= 3 && shared <= uint32(len(f.accounts)/100), 0.05)
	return s
}

// Scores returns the score of every account, in [0,1]; accounts of fewer than ten requests have 0.
func (f *FixedWeights) Scores() map[string]float64 {
	out := make(map[string]float64, len(f.accounts))
	for i := range f.accounts {
		out[f.roll.names[i]] = f.score(&f.accounts[i])
	}
	return out
}

// Flagged implements Baseline.
func (f *FixedWeights) Flagged() map[string]bool {
	out := map[string]bool{}
	for id, s := range f.Scores() {
		if s >= FixedThreshold-1e-9 {
			out[id] = true
		}
	}
	return out
}
