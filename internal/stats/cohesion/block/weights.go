// Package block holds what a set of accounts has in common as a two-part mixture, and weighs any account by it. It finds no sets and
// decides nothing: package campaign does.
package block

import "github.com/palladium-guard/palladium"

// Population is the state of all accounts, as far as blocks and whoever finds them need it.
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

// The families, in the order of the arrays that are indexed by family.
const (
	Identity = iota
	Network
	Template
	Continuity
	Twins
	Queue
	Schedule
	Parameters
	FamilyCount
	Mutual = FamilyCount // behind the families in weights: what the account has in common with the whole block
)

// Index returns the family that kind k belongs to.
func Index(k palladium.Kind) int {
	switch k {
	case palladium.KindIP, palladium.KindNet, palladium.KindClientDevice, palladium.KindClient:
		return Network
	case palladium.KindSystem, palladium.KindTools, palladium.KindShingle:
		return Template
	case palladium.KindChain, palladium.KindEcho:
		return Continuity
	case palladium.KindCell:
		return Twins
	case palladium.KindParams:
		return Parameters
	}
	return Identity
}

// Weights are one account's log-likelihood ratios by family, in nats, and behind them what it has in common with the
// block as a whole.
type Weights [FamilyCount + 1]float32

// Total is the sum over the families.
func (w *Weights) Total() float32 {
	var t float32
	for _, v := range w[:FamilyCount] {
		t += v
	}
	return t
}

// Families counts those that speak for membership with at least 2 nats.
func (w *Weights) Families() int {
	n := 0
	for _, v := range w[:FamilyCount] {
		if v >= 2 {
			n++
		}
	}
	return n
}

// Belongs reports whether the account may be a member at all: two families speak for it, and it agrees with the block
// as a whole.
func (w *Weights) Belongs() bool { return w.Families() >= 2 && w[Mutual] >= coreNats }

// Kinds counts what speaks for the account with at least 2 nats: who it is, its texts, conversations, loads, parameters.
func (w *Weights) Kinds() int {
	return CountOver(2, max(w[Identity], w[Network]), max(w[Template], w[Twins]), w[Continuity], w[Schedule], w[Parameters])
}

// Keys counts the independent keys with at least 2 nats. Parameters follow from the program and open none.
func (w *Weights) Keys() int {
	return CountOver(2, max(w[Identity], w[Network]), max(w[Template], w[Continuity], w[Twins]), w[Schedule])
}

// CountOver counts the values that are nats or more.
func CountOver(nats float32, values ...float32) (n int) {
	for _, v := range values {
		if v >= nats {
			n++
		}
	}
	return n
}

// AtOnce is the weight of what an account can show with its first requests; loads and topics take many.
func (w *Weights) AtOnce() float32 {
	return w[Identity] + w[Network] + w[Template] + w[Continuity] + w[Parameters]
}
