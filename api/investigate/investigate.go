// Package investigate answers what people ask of campaigns and accounts: the queue, one campaign with its evidence and what
// speaks against it, its graph and timeline, accounts, and hunting over them.
package investigate

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// Usage says which models an account used lately, from the archive.
type Usage interface {
	Models(ctx context.Context, account string, since time.Time) ([]palladium.Share, error)
}

// Desk answers. Its Routes are those of campaigns and accounts.
type Desk struct {
	catalog *catalog.Store
	usage   Usage
	whole   *lru.Cache[string, *catalog.Campaign] // by id and the time of its last change: large campaigns are read once
	mu      sync.Mutex
	benign  []catalog.Campaign // linked groups, as of read
	read    time.Time
}

// keptWhole is how many whole campaigns are remembered. One of 24,000 accounts takes some 20 MB.
const keptWhole = 4

// New makes a desk. usage may be nil.
func New(store *catalog.Store, usage Usage) *Desk {
	whole, _ := lru.New[string, *catalog.Campaign](keptWhole) // fails for sizes below one alone
	return &Desk{catalog: store, usage: usage, whole: whole}
}

// Routes returns the operations.
func (d *Desk) Routes() []api.Route {
	return []api.Route{
		{Op: "listCampaigns", Handle: d.listCampaigns}, {Op: "getCampaign", Handle: d.getCampaign}, {Op: "changeCampaign", Handle: d.changeCampaign},
		{Op: "listCampaignAccounts", Handle: d.listMembers}, {Op: "getCampaignGraph", Handle: d.getGraph},
		{Op: "getCampaignTimeline", Handle: d.getTimeline}, {Op: "getCampaignEvidence", Handle: d.getEvidence},
		{Op: "listCampaignEvents", Handle: d.listEvents}, {Op: "listLinked", Handle: d.listLinked}, {Op: "getLinked", Handle: d.getLinked},
		{Op: "listAccounts", Handle: d.listAccounts}, {Op: "getAccount", Handle: d.getAccount},
		{Op: "getAccountEvidence", Handle: d.getHoldings}, {Op: "hunt", Handle: d.hunt},
	}
}

// campaign returns a whole campaign. What comes is shared: nobody changes it.
func (d *Desk) campaign(ctx context.Context, id string) (*catalog.Campaign, error) {
	light, err := d.catalog.GetCampaign(ctx, id)
	if err != nil {
		return nil, err
	}
	key := id + "\x00" + light.Updated.Format(time.RFC3339Nano)
	if c, ok := d.whole.Get(key); ok && c.Revision == light.Revision {
		return c, nil
	}
	c, err := d.catalog.WholeCampaign(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Detail == nil {
		c.Detail = &palladium.Detail{}
	}
	d.whole.Add(id+"\x00"+c.Updated.Format(time.RFC3339Nano), &c)
	return &c, nil
}

// linked returns the benign groups that the detector lists, no older than half a minute.
func (d *Desk) linked(ctx context.Context, now time.Time) ([]catalog.Campaign, error) {
	d.mu.Lock()
	groups, read := d.benign, d.read
	d.mu.Unlock()
	if !read.IsZero() && now.Sub(read) < 30*time.Second && !now.Before(read) {
		return groups, nil
	}
	groups = nil
	q := catalog.CampaignQuery{Page: catalog.Page{Limit: 1000}, Stage: []palladium.Stage{palladium.StageLinked}, Sort: catalog.SortSize, Listed: true}
	groups, _, err := d.catalog.ListCampaigns(ctx, q)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.benign, d.read = groups, now
	return groups, nil
}

func pageOf(q *api.Request) catalog.Page {
	return catalog.Page{Cursor: q.Param("cursor"), Limit: q.Limit()}
}

// event is a line of the history.
type event struct {
	Seq         int64           `json:"seq"`
	At          time.Time       `json:"at"`
	Actor       string          `json:"actor"`
	Kind        string          `json:"kind"`
	Subject     string          `json:"subject"`
	Refs        []string        `json:"refs"`
	Data        json.RawMessage `json:"data"`
	LedgerIndex int64           `json:"ledger_index"`
}
