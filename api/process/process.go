// Package process is what an account holder is owed when a measure hits them: a notice with reasons, a way to object that
// works while they are blocked, another person who looks again within a time, and access given back with all that hangs on
// it. It also holds cases, and the list of those who must not be touched.
package process

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"time"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Sharing takes back what was told to others about accounts that turn out to be innocent.
type Sharing interface {
	// Recall revokes what was shared of the campaign about the accounts; to recall twice changes nothing.
	Recall(ctx context.Context, campaign string, accounts []string, reason string) error
}

// Options are what due process stands on. Catalog, Board and Ledger must be given.
type Options struct {
	Catalog *catalog.Store
	Board   api.Board
	Ledger  api.Ledger
	Sharing Sharing       // nil where nothing is shared
	Review  time.Duration // within which an appeal is to be decided; 7 days when zero
	Window  time.Duration // after a notice, within which it can be appealed; 183 days when zero, and never less
	Site    string        // name of the site on the appeal page
	Origin  string        // scheme and host of the appeal page
	Proxies []netip.Prefix
	Log     *slog.Logger
	Now     func() time.Time
}

// Desk is due process. Its Routes are those of cases, notices, appeals and the allow-list; Page is for account holders.
type Desk struct{ o Options }

// New makes a desk.
func New(o Options) *Desk {
	const halfYear = 183 * 24 * time.Hour
	o.Window = max(o.Window, halfYear)
	if o.Review == 0 {
		o.Review = 7 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{o}
}

// Routes returns the operations.
func (d *Desk) Routes() []api.Route {
	return []api.Route{
		{Op: "listCases", Handle: d.listCases}, {Op: "openCase", Handle: d.openCase}, {Op: "getCase", Handle: d.getCase},
		{Op: "changeCase", Handle: d.changeCase}, {Op: "addNote", Handle: d.addNote}, {Op: "listNotices", Handle: d.listNotices},
		{Op: "listAppeals", Handle: d.listAppeals}, {Op: "getAppeal", Handle: d.getAppeal}, {Op: "reviewAppeal", Handle: d.reviewAppeal},
		{Op: "decideAppeal", Handle: d.decideAppeal}, {Op: "listAllow", Handle: d.listAllow}, {Op: "addAllow", Handle: d.addAllow},
		{Op: "revokeAllow", Handle: d.revokeAllow},
	}
}

// NewReference makes an appeal reference: 128 random bits that can be read out over a telephone. Who has it may object to one
// verdict and read its notice, and nothing else; it cannot be guessed.
func NewReference() string {
	s := rand.Text() // 26 characters of base32
	return "AP-" + s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:20] + "-" + s[20:26]
}

func pageOf(q *api.Request) catalog.Page {
	return catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()}
}
