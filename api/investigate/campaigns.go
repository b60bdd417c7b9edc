package investigate

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/proof/dossier"
	"github.com/palladium-guard/palladium/report"
	"github.com/palladium-guard/palladium/store/catalog"
)

// item is a campaign in the queue.
type item struct {
	ID          string             `json:"id"`
	Revision    int64              `json:"revision"`
	Updated     time.Time          `json:"updated"`
	Stage       palladium.Stage    `json:"stage"`
	Peak        palladium.Stage    `json:"peak"`
	Claim       string             `json:"claim"`
	OperatorP   float64            `json:"operator_p"`
	ExtractionP float64            `json:"extraction_p"`
	First       time.Time          `json:"first"`
	Last        time.Time          `json:"last"`
	DetectedAt  *time.Time         `json:"detected_at"`
	Exchanges   int64              `json:"exchanges"`
	Before      int64              `json:"exchanges_before_detection"`
	Tokens      palladium.Tokens   `json:"tokens"`
	Size        int                `json:"size"`
	Risk        float64            `json:"risk"`
	Trend       float64            `json:"trend"`
	Deadline    *time.Time         `json:"deadline"`
	State       string             `json:"state"`
	Resolution  string             `json:"resolution"`
	Assignee    string             `json:"assignee"`
	Labels      []string           `json:"labels"`
	Techniques  []string           `json:"techniques"`
	Families    []palladium.Family `json:"families"`
	TopReason   string             `json:"top_reason"`
	InForce     []catalog.InForce  `json:"in_force"`
	Gone        *time.Time         `json:"gone"`
}

func itemOf(c *catalog.Campaign, force []catalog.InForce, now time.Time) item {
	out := item{ID: c.ID, Revision: c.Revision, Updated: c.Updated, Stage: c.Stage, Peak: c.Peak, Claim: report.Claim(&c.Campaign, c.Size, now),
		OperatorP: c.OperatorP, ExtractionP: c.ExtractionP, First: c.First, Last: c.Last, DetectedAt: c.DetectedAt, Exchanges: c.Exchanges,
		Before: c.ExchangesBeforeDetection, Tokens: c.Tokens, Size: c.Size, Risk: c.Risk, Trend: c.Trend, Deadline: c.Deadline, State: c.State,
		Resolution: c.Resolution, Assignee: c.Assignee, Labels: c.Labels, Techniques: c.Techniques, InForce: force, Gone: c.Gone}
	best := math.Inf(-1)
	for _, e := range c.Evidence {
		out.Families = append(out.Families, e.Family)
		if e.Weight > best {
			best, out.TopReason = e.Weight, e.Says
		}
	}
	return out
}

func (d *Desk) listCampaigns(q *api.Request) (*api.Answer, error) {
	query := catalog.CampaignQuery{Page: pageOf(q), State: q.List("state"), Assignee: q.Param("assignee"), Label: q.Param("label"), Text: q.Param("q"), Sort: q.Param("sort")}
	if query.Assignee == "me" {
		query.Assignee = q.By.ID
	}
	for _, s := range q.List("stage") {
		query.Stage = append(query.Stage, palladium.Stage(s))
	}
	list, next, err := d.catalog.ListCampaigns(q.Context(), query)
	if err != nil {
		return nil, err
	}
	all, err := d.catalog.CountCampaigns(q.Context(), query)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	force, err := d.catalog.CountInForce(q.Context(), ids, q.Now)
	if err != nil {
		return nil, err
	}
	items := make([]item, len(list))
	for i := range list {
		items[i] = itemOf(&list[i], force[list[i].ID], q.Now)
	}
	return api.OK(api.Counted[item]{Page: api.NewPage(items, next), Total: all})
}

// whole is a campaign with what a person needs beyond the queue.
type whole struct {
	item
	Evidence    []evidence                `json:"evidence"`
	Counter     []palladium.Counter       `json:"counter_evidence"`
	WhyStage    []string                  `json:"why_stage"`
	WouldClear  []string                  `json:"would_clear"`
	WhyNot      string                    `json:"why_not"`
	Calibration string                    `json:"calibration"`
	Features    []palladium.Feature       `json:"features"`
	Models      []palladium.Share         `json:"models"`
	Days        []palladium.OperatorTrial `json:"days"`
	Benign      []dossier.Benign          `json:"benign"`
}

// evidence is one family's case with the independent key that it belongs to.
type evidence struct {
	Key palladium.Key `json:"key"`
	palladium.Evidence
}

func evidenceOf(list []palladium.Evidence) []evidence {
	out := []evidence{}
	for _, e := range list {
		out = append(out, evidence{e.Family.Key(), e})
	}
	return out
}

// Nearest returns the benign groups that are used most like c, the nearest first, five at most.
func (d *Desk) Nearest(ctx context.Context, c *catalog.Campaign, now time.Time) ([]dossier.Benign, error) {
	if c.Detail == nil || len(c.Detail.Features) == 0 {
		return nil, nil
	}
	groups, err := d.linked(ctx, now)
	if err != nil {
		return nil, err
	}
	var out []dossier.Benign
	for i := range groups {
		if dist, ok := distance(c.Detail.Features, groups[i].Features); ok && groups[i].ID != c.ID {
			out = append(out, dossier.Benign{ID: groups[i].ID, Size: groups[i].Size, WhyNot: groups[i].WhyNot, Distance: dist})
		}
	}
	slices.SortStableFunc(out, func(a, b dossier.Benign) int {
		switch {
		case a.Distance < b.Distance:
			return -1
		case a.Distance > b.Distance:
			return 1
		}
		return 0
	})
	return out[:min(5, len(out))], nil
}

// distance is the root mean square difference of the features that both have, in units of the range from the median to the
// 95th percentile of benign groups.
func distance(a, b []palladium.Feature) (float64, bool) {
	var sum float64
	n := 0
	for _, x := range a {
		i := slices.IndexFunc(b, func(y palladium.Feature) bool { return y.Name == x.Name })
		unit := math.Abs(x.P95 - x.P50)
		if i < 0 || unit == 0 || math.IsNaN(unit) || math.IsNaN(x.Value) || math.IsNaN(b[i].Value) {
			continue
		}
		diff := (x.Value - b[i].Value) / unit
		sum += diff * diff
		n++
	}
	if n == 0 {
		return 0, false
	}
	return math.Sqrt(sum / float64(n)), true
}

func (d *Desk) show(q *api.Request, id string) (*api.Answer, error) {
	c, err := d.campaign(q.Context(), id)
	if err != nil {
		return nil, err
	}
	force, err := d.catalog.CountInForce(q.Context(), []string{id}, q.Now)
	if err != nil {
		return nil, err
	}
	near, err := d.Nearest(q.Context(), c, q.Now)
	if err != nil {
		return nil, err
	}
	out := whole{item: itemOf(c, force[id], q.Now), Evidence: evidenceOf(c.Evidence), Counter: c.CounterEvidence, WhyStage: c.Detail.WhyStage,
		WouldClear: c.Detail.WouldClear, WhyNot: c.WhyNot, Calibration: c.Detail.Calibration, Features: c.Detail.Features, Models: c.Detail.Models, Days: c.Detail.Days, Benign: near}
	if out.WhyNot == "" {
		out.WhyNot = c.Detail.WhyNot
	}
	if len(out.Features) == 0 {
		out.Features = c.Features
	}
	return &api.Answer{JSON: out, Revision: c.Revision}, nil
}

func (d *Desk) getCampaign(q *api.Request) (*api.Answer, error) { return d.show(q, q.Param("id")) }

// change is what people say of a campaign.
type change struct {
	State      *string    `json:"state"`
	Resolution *string    `json:"resolution"`
	Why        string     `json:"why"`
	Assignee   *string    `json:"assignee"`
	Deadline   *time.Time `json:"deadline"` // null takes it away
	Labels     *[]string  `json:"labels"`
}

func (d *Desk) changeCampaign(q *api.Request) (*api.Answer, error) {
	revision, err := q.Revision()
	if err != nil {
		return nil, err
	}
	given := map[string]any{}
	var in change
	if err := errors.Join(q.Decode(&in), q.Decode(&given)); err != nil {
		return nil, err
	}
	id := q.Param("id")
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		c, err := tx.WholeCampaign(ctx, id)
		if err != nil {
			return nil, err
		}
		if c.Revision != revision {
			return nil, api.Changed()
		}
		before := c
		if err := in.apply(ctx, q, tx, &c, given); err != nil {
			return nil, err
		}
		if _, err := tx.PutCampaign(ctx, c); err != nil {
			return nil, err
		}
		if benign(c.Resolution) && !benign(before.Resolution) {
			if err := tx.AddLabel(ctx, Label(&c, c.Accounts, in.Why, q)); err != nil {
				return nil, err
			}
		}
		data := map[string]any{"state": c.State, "resolution": c.Resolution, "assignee": c.Assignee, "deadline": c.Deadline, "labels": c.Labels}
		return q.Event("campaign.changed", "campaign:"+id, data), nil
	})
	if err != nil {
		return nil, err
	}
	return d.show(q, id)
}

func benign(resolution string) bool {
	return resolution == catalog.ResolvedBenign || resolution == catalog.ResolvedFalsePositive
}

// Label is the word of the one who asks that members of a campaign are benign.
func Label(c *catalog.Campaign, members []palladium.Member, why string, q *api.Request) catalog.Label {
	l := catalog.Label{ID: "lb_" + q.ID, Campaign: c.ID, Benign: true, Why: why, By: q.By.ID, At: q.Now}
	for _, m := range members {
		l.Accounts = append(l.Accounts, m.ID)
	}
	return l
}

// apply makes the change on c, and refuses what makes no sense.
func (in *change) apply(ctx context.Context, q *api.Request, tx *catalog.Store, c *catalog.Campaign, given map[string]any) error {
	if in.State != nil {
		c.State = *in.State
	}
	if in.Resolution != nil {
		c.Resolution = *in.Resolution
	}
	if in.Assignee != nil {
		who, err := api.Assignee(ctx, q, tx, *in.Assignee)
		if err != nil {
			return err
		}
		c.Assignee = who
	}
	if _, ok := given["deadline"]; ok {
		c.Deadline = in.Deadline
	}
	if in.Labels != nil {
		c.Labels = *in.Labels
	}
	return api.Settled(c.State, &c.Resolution, in.Resolution != nil)
}

// group is a benign linked group.
type group struct {
	ID       string              `json:"id"`
	Size     int                 `json:"size"`
	WhyNot   string              `json:"why_not_extraction"`
	Features []palladium.Feature `json:"features"`
	Gone     *time.Time          `json:"gone"`
}

func groupOf(c *catalog.Campaign) group { return group{c.ID, c.Size, c.WhyNot, c.Features, c.Gone} }

func (d *Desk) listLinked(q *api.Request) (*api.Answer, error) {
	query := catalog.CampaignQuery{Page: pageOf(q), Stage: []palladium.Stage{palladium.StageLinked}, Sort: catalog.SortSize}
	list, next, err := d.catalog.ListCampaigns(q.Context(), query)
	if err != nil {
		return nil, err
	}
	all, err := d.catalog.CountCampaigns(q.Context(), query)
	if err != nil {
		return nil, err
	}
	out := make([]group, len(list))
	for i := range list {
		out[i] = groupOf(&list[i])
	}
	return api.OK(api.Counted[group]{Page: api.NewPage(out, next), Total: all})
}

func (d *Desk) getLinked(q *api.Request) (*api.Answer, error) {
	c, err := d.catalog.GetCampaign(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	if c.Stage != palladium.StageLinked {
		return nil, api.NotFound("benign group")
	}
	return api.OK(groupOf(&c))
}
