// Package campaign grows accounts that share surprising things into groups, and asks two questions of each group,
// with two separate tests: do its accounts act for one operator, and is that operator extracting the model?
//
// The Tracker belongs to one goroutine and never reads the clock.
package campaign

import (
	"github.com/palladium-guard/palladium"
)

// Population is the state of all accounts, as far as the tracker needs it.
type Population interface {
	// Accounts is how many accounts are known; they are numbered from 0.
	Accounts() int
	// Profile returns the live profile of an account. It may be kept until the next Observe.
	Profile(a uint32) *palladium.Profile
	// Token returns a token's live record.
	Token(t uint32) *palladium.Token
	// Holders appends up to limit holders of a token to buf, the newest first.
	Holders(t uint32, limit int, buf []uint32) []uint32
	// Centred writes an account's mean topic less the population's, and returns the prompts behind it.
	Centred(a uint32, out *[palladium.TopicDims]float32) int
}

// Seed is a set of accounts that something joins: the holders of a token, or partners in conversations.
type Seed struct {
	Token    uint32   // palladium.NoToken for a set of partners
	Accounts []uint32 // used when Token is NoToken
}

// families in the order of the arrays that are indexed by family.
const (
	famIdentity = iota
	famNetwork
	famTemplate
	famContinuity
	famTwins
	famQueue
	famSchedule
	famParameters
	famCount
	famMutual = famCount // behind the families in weights: what the account has in common with the whole block
)

func familyIndex(k palladium.Kind) int {
	switch k {
	case palladium.KindIP, palladium.KindNet, palladium.KindClientDevice, palladium.KindClient:
		return famNetwork
	case palladium.KindSystem, palladium.KindTools, palladium.KindShingle:
		return famTemplate
	case palladium.KindChain, palladium.KindEcho:
		return famContinuity
	case palladium.KindCell:
		return famTwins
	case palladium.KindParams:
		return famParameters
	}
	return famIdentity
}

func familyName(f int) palladium.Family { return palladium.Families()[f] }

// weights are one account's log-likelihood ratios by family, in nats, and behind them what it has in common with the
// block as a whole.
type weights [famCount + 1]float32

func (w *weights) total() float32 {
	var t float32
	for _, v := range w[:famCount] {
		t += v
	}
	return t
}

// families counts those that speak for membership with at least 2 nats.
func (w *weights) families() int {
	n := 0
	for _, v := range w[:famCount] {
		if v >= 2 {
			n++
		}
	}
	return n
}

// belongs reports whether the account may be a member at all: two families speak for it, and it agrees with the block
// as a whole.
func (w *weights) belongs() bool { return w.families() >= 2 && w[famMutual] >= coreNats }

// kinds counts what speaks for the account with at least 2 nats: who it is, its texts, conversations, loads, parameters.
func (w *weights) kinds() int {
	return countOver(2, max(w[famIdentity], w[famNetwork]), max(w[famTemplate], w[famTwins]), w[famContinuity], w[famSchedule], w[famParameters])
}

// keys counts the independent keys with at least 2 nats. Parameters follow from the program and open none.
func (w *weights) keys() int {
	return countOver(2, max(w[famIdentity], w[famNetwork]), max(w[famTemplate], w[famContinuity], w[famTwins]), w[famSchedule])
}

func countOver(nats float32, values ...float32) (n int) {
	for _, v := range values {
		if v >= nats {
			n++
		}
	}
	return n
}
