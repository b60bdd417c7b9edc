package api

import (
	"context"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Board carries out what people decide. Its errors are Problems, or those of the catalog; any other is a failure of the
// site and leaves nothing half done. All methods may be called concurrently.
type Board interface {
	// Decide makes a decision. It may come back pending, with the approval that it waits for.
	Decide(ctx context.Context, d Draft) (catalog.Decision, error)
	// Approve and Refuse answer an approval. Who asked cannot approve.
	Approve(ctx context.Context, approval, by, comment string) error
	Refuse(ctx context.Context, approval, by, comment string) error
	// Undo revokes all verdicts of a decision and restores access, budgets and reputation.
	Undo(ctx context.Context, decision, by, reason string) error
	// Release does so for some accounts of a decision, which holds for the others.
	Release(ctx context.Context, decision string, accounts []string, by, reason string) error
	// Preview says what a decision would have done over the last 7 days. It changes nothing.
	Preview(ctx context.Context, d Draft) (Preview, error)
}

// Draft is a decision that somebody wants.
type Draft struct {
	Campaign string
	Accounts []string // members; all when empty
	Measure  palladium.Measure
	catalog.Terms
	Reason    string // code shown to the caller
	Text      string // in words that the account holder may read
	Expires   time.Time
	By        string // user id
	Automated bool
	Approval  bool // ask for a second person also where none is needed
}

// Preview is the effect that a decision would have had.
type Preview struct {
	Since    time.Time    `json:"since"`
	Until    time.Time    `json:"until"`
	Accounts int64        `json:"accounts"` // that had requests in this time
	Requests int64        `json:"requests"` // that would have been touched
	Tokens   float64      `json:"tokens_share"`
	Outside  float64      `json:"outside_share"` // of what it hits, what does not belong to the campaign
	Days     []PreviewDay `json:"days"`
}

// PreviewDay is one day of a Preview.
type PreviewDay struct {
	Start    time.Time `json:"start"`
	Requests int64     `json:"requests"`
	Tokens   int64     `json:"tokens"`
}
