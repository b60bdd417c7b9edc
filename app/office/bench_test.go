package office_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
)

// timed sends the same kind of request again and again and reports how long the slowest of a hundred takes. The path gets the
// number of the request, so that nothing is answered from a short memory of what was just asked.
func timed(b *testing.B, c *client, path func(i int) string) {
	b.Helper()
	c.want(http.MethodGet, path(0), nil, 200)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		got := c.raw(http.MethodGet, path(len(took)), nil)
		took = append(took, time.Since(start))
		if got.status != 200 {
			b.Fatalf("%d %s", got.status, got.body)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// A queue of 10,000 campaigns, pages of 50 in every order, from the beginning and further on.
func BenchmarkQueue(b *testing.B) {
	r := start(b)
	report := &palladium.Report{Schema: palladium.ReportSchema}
	for i := range 10_000 {
		c := group(fmt.Sprintf("c-%05d", i), palladium.StageReview, 6)
		c.Tokens.Output, c.ExtractionP = int64(i*7919%10_000), float64(i%97)/1000
		report.Campaigns = append(report.Campaigns, c)
	}
	if _, err := r.store.PutReport(b.Context(), report); err != nil {
		b.Fatal(err)
	}
	viewer := r.users[api.Viewer]
	for _, sort := range []string{"risk", "deadline", "draw", "size", "updated"} {
		b.Run("sort="+sort, func(b *testing.B) {
			next := ""
			for range 20 {
				next = viewer.want(http.MethodGet, "/campaigns?limit=50&sort="+sort+"&cursor="+next, nil, 200).str("next")
			}
			timed(b, viewer, func(i int) string {
				if i%2 == 0 {
					return "/campaigns?limit=50&sort=" + sort
				}
				return "/campaigns?limit=50&sort=" + sort + "&cursor=" + next
			})
		})
	}
	b.Run("search", func(b *testing.B) {
		timed(b, viewer, func(i int) string { return fmt.Sprintf("/campaigns?limit=50&q=c-%03d", i%100) })
	})
}

// A campaign of 24,000 accounts: each part of its page.
func BenchmarkCampaign(b *testing.B) {
	r := start(b)
	c := group("c-large", palladium.StageAct, 24_000)
	if _, err := r.store.PutReport(b.Context(), &palladium.Report{Schema: palladium.ReportSchema, Campaigns: []palladium.Campaign{c}}); err != nil {
		b.Fatal(err)
	}
	analyst := r.users[api.Analyst]
	analyst.want(http.MethodPost, "/campaigns/c-large/decisions", draft(nil), 201)
	for name, path := range map[string]string{"page": "", "graph": "/graph?limit=150", "accounts": "/accounts?limit=50", "timeline": "/timeline", "evidence": "/evidence/network",
		"verdicts": "/verdicts?limit=50"} {
		b.Run(name, func(b *testing.B) {
			timed(b, analyst, func(int) string { return "/campaigns/c-large" + path })
		})
	}
	b.Run("export", func(b *testing.B) {
		timed(b, analyst, func(int) string { return "/campaigns/c-large/export?profile=internal" })
	})
}
