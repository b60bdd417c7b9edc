//go:build unix

package catalog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog"
	"github.com/palladium-guard/palladium/store/pgtest"
)

// Campaigns are found by what they are called, labelled and said to show, as it is now.
func TestSearch(t *testing.T) {
	for _, e := range engines(t) {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			url := e.url()
			s := open(t, url)
			say := func(says string) {
				_, err := s.PutReport(ctx, &palladium.Report{Campaigns: []palladium.Campaign{
					{ID: "C-one", Stage: palladium.StageAct, Evidence: []palladium.Evidence{{Family: "network", Says: says}}, Accounts: []palladium.Member{{ID: "Member-1"}, {ID: "x"}}},
					{ID: "c-two", Stage: palladium.StageReview, Evidence: []palladium.Evidence{{Family: "network", Says: "nothing"}}},
				}})
				check(t, err)
			}
			say("50% of accounts share ÄPFEL_1 \"quoted\"")
			want := func(text string, ids ...string) {
				t.Helper()
				q := catalog.CampaignQuery{Text: text}
				list, _, err := s.ListCampaigns(ctx, q)
				check(t, err)
				got := []string{}
				for _, c := range list {
					got = append(got, c.ID)
				}
				slices.Sort(got)
				if !slices.Equal(got, ids) {
					t.Errorf("%q finds %v, wanted %v", text, got, ids)
				}
				if n, err := s.CountCampaigns(ctx, q); err != nil || n != int64(len(ids)) {
					t.Errorf("%q counts %d: %v", text, n, err)
				}
			}
			check := func() {
				t.Helper()
				want("c-", "C-one", "c-two")
				want("C-ONE", "C-one")
				want("50%", "C-one")
				want("0_", []string{}...)
				want("äpfel_1", "C-one")
				want(`"QUOTED"`, "C-one")
				want("family", []string{}...)
				want("Memb", "C-one")
				want("ember", []string{}...)
				want("\x00", []string{}...)
			}
			check()
			c, err := s.GetCampaign(ctx, "c-two")
			if err != nil {
				t.Fatal(err)
			}
			c.Labels = []string{"Pfirsich & Söhne"}
			if _, err := s.PutCampaign(ctx, c); err != nil {
				t.Fatal(err)
			}
			want("SÖHNE", "c-two")
			say("something else")
			want("50%", []string{}...)
			want("ELSE", "C-one")
			want("söhne", "c-two")

			// A catalog of before there was an index is found in after it has been opened.
			db := connect(t, url)
			if err := db.Update(ctx, func(tx *store.DB) error {
				_, err := tx.Exec(ctx, "DELETE FROM campaign_texts")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, url)
			defer s.Close()
			want("söhne", "c-two")
			want("else", "C-one")
		})
	}
}

// A search sees at once what others wrote, what a restore put in place of it, and within a transaction what that wrote.
func TestSearchOfOthers(t *testing.T) {
	for _, e := range engines(t) {
		url := e.url()
		one, two := open(t, url), open(t, url)
		ctx := t.Context()
		put := func(s *catalog.Store, says string) error {
			_, err := s.PutReport(ctx, &palladium.Report{Campaigns: []palladium.Campaign{{ID: "c1", Stage: palladium.StageAct, Evidence: []palladium.Evidence{{Says: says}}}}})
			return err
		}
		want := func(s *catalog.Store, text string, n int64) {
			t.Helper()
			if got, err := s.CountCampaigns(ctx, catalog.CampaignQuery{Text: text}); err != nil || got != n {
				t.Errorf("%s: %q finds %d: %v", e.name, text, got, err)
			}
		}
		check(t, put(one, "apples"))
		want(two, "apples", 1)
		check(t, put(two, "pears"))
		want(one, "apples", 0)
		want(one, "pears", 1)
		data := backedUp(t, connect(t, url))
		refused := errors.New("refused")
		if err := one.Update(ctx, func(tx *catalog.Store) error {
			err := put(tx, "plums")
			want(tx, "plums", 1)
			want(tx, "pears", 0)
			return errors.Join(err, refused)
		}); !errors.Is(err, refused) {
			t.Error(err)
		}
		want(one, "plums", 0)
		want(one, "pears", 1)
		check(t, put(one, "cherries"))
		want(two, "cherries", 1)
		check(t, load(t, connect(t, url), data, true))
		want(one, "pears", 1)
		want(two, "cherries", 0)
		check(t, errors.Join(one.Close(), two.Close()))
	}
}

// How long the queue is searched for: 10,000 campaigns of six accounts, the list of 50 and the count; `like` is the same
// over the campaigns themselves, to compare with.
func BenchmarkSearch(b *testing.B) {
	urls := map[string]string{"SQLite": "sqlite:" + filepath.Join(b.TempDir(), "c.db")}
	server, err := pgtest.Launch("")
	if err == nil {
		b.Cleanup(func() { server.Stop() })
		urls["PostgreSQL"] = server.Database(b)
	} else if !errors.Is(err, pgtest.ErrMissing) {
		b.Fatal(err)
	}
	for name, url := range urls {
		s, err := catalog.Open(b.Context(), catalog.Config{URL: url}, nil, true)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		report := &palladium.Report{}
		for i := range 10_000 {
			c := palladium.Campaign{ID: fmt.Sprintf("c-%05d", i), Stage: palladium.StageReview}
			for j := range 5 {
				c.Evidence = append(c.Evidence, palladium.Evidence{Family: palladium.Families()[j], Accounts: 6, Weight: 3.5,
					Says: fmt.Sprintf("%d accounts share what hardly two of a thousand others would share by chance, number %d", 6, i*7919%10_000)})
			}
			for j := range 6 {
				c.Accounts = append(c.Accounts, palladium.Member{ID: fmt.Sprintf("m-%05d-%d", i, j), Membership: 0.9})
			}
			report.Campaigns = append(report.Campaigns, c)
		}
		if _, err := s.PutReport(b.Context(), report); err != nil {
			b.Fatal(err)
		}
		db, err := catalog.Connect(b.Context(), catalog.Config{URL: url}, nil, true)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		for what, text := range map[string]func(i int) string{
			"some": func(i int) string { return fmt.Sprintf("c-%03d", i%100) },
			"none": func(i int) string { return fmt.Sprintf("absent %d", i) },
			"all":  func(i int) string { return "by chance" },
		} {
			i := 0
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					i++
					q := catalog.CampaignQuery{Text: text(i)}
					if _, _, err := s.ListCampaigns(b.Context(), q); err != nil {
						b.Fatal(err)
					}
					if _, err := s.CountCampaigns(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/"+what+"/like", func(b *testing.B) {
				for b.Loop() {
					i++
					if err := like(b.Context(), db, text(i)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// like finds campaigns as a database does without what they are searched by.
func like(ctx context.Context, db *store.DB, text string) error {
	p := store.Like(text)
	where := `FROM campaigns WHERE stage <> 'linked' AND (lower(id) LIKE ? ESCAPE '!' OR lower(labels) LIKE ? ESCAPE '!' OR lower(evidence) LIKE ? ESCAPE '!' OR
		id IN (SELECT campaign FROM members WHERE account >= ? AND account < ?))`
	args := []any{p, p, p, text, text + "\U0010FFFF"}
	var n int64
	return errors.Join(
		db.Each(ctx, "SELECT * "+strings.TrimSpace(where)+" ORDER BY risk DESC, id DESC LIMIT 51", args, func(*sql.Rows) error { return nil }),
		db.Row(ctx, "SELECT count(*) "+where, args, &n))
}

// How long accounts are searched for by text: 24,000 of 4,000 organisations, the list of 50 and the count.
func BenchmarkHunt(b *testing.B) {
	urls := map[string]string{"SQLite": "sqlite:" + filepath.Join(b.TempDir(), "c.db")}
	server, err := pgtest.Launch("")
	if err == nil {
		b.Cleanup(func() { server.Stop() })
		urls["PostgreSQL"] = server.Database(b)
	} else if !errors.Is(err, pgtest.ErrMissing) {
		b.Fatal(err)
	}
	for name, url := range urls {
		s, err := catalog.Open(b.Context(), catalog.Config{URL: url}, nil, true)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var list []catalog.Account
		for i := range 24_000 {
			list = append(list, catalog.Account{ID: fmt.Sprintf("a-%05d", i), Organization: fmt.Sprintf("Organisation %d", i%4000),
				EmailDomain: fmt.Sprintf("mail-%d.example", i%300), Verified: []string{}})
		}
		if err := s.PutAccounts(b.Context(), list); err != nil {
			b.Fatal(err)
		}
		for what, text := range map[string]func(i int) string{
			"some": func(i int) string { return fmt.Sprintf("tion %d", 1000+i%1000) },
			"none": func(i int) string { return fmt.Sprintf("absent %d", i) },
		} {
			i := 0
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					i++
					q := catalog.HuntQuery{Text: text(i)}
					if _, _, err := s.Hunt(b.Context(), q); err != nil {
						b.Fatal(err)
					}
					if _, err := s.CountHunt(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
