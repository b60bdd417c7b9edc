// Package campaign grows accounts that share surprising things into groups, and asks two questions of each group,
// with two separate tests: do its accounts act for one operator, and is that operator extracting the model?
//
// The Tracker belongs to one goroutine and never reads the clock.
package campaign

import (
	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/stats/cohesion/block"
)

// Population is the state of all accounts, as far as the tracker needs it.
type Population = block.Population

// Seed is a set of accounts that something joins: the holders of a token, or partners in conversations.
type Seed struct {
	Token    uint32   // palladium.NoToken for a set of partners
	Accounts []uint32 // used when Token is NoToken
}

// What block calls them, in short.
type (
	pool       = block.Pool
	model      = block.Model
	background = block.Background
	weights    = block.Weights
)

// The families, in the order of the arrays that are indexed by family.
const (
	famIdentity   = block.Identity
	famNetwork    = block.Network
	famTemplate   = block.Template
	famContinuity = block.Continuity
	famTwins      = block.Twins
	famQueue      = block.Queue
	famSchedule   = block.Schedule
	famParameters = block.Parameters
	famCount      = block.FamilyCount
	famMutual     = block.Mutual
)

func familyIndex(k palladium.Kind) int { return block.Index(k) }

func familyName(f int) palladium.Family { return palladium.Families()[f] }
