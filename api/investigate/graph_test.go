package investigate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/store/catalog"
)

// fleet is a campaign whose accounts hold 3 of 30 networks' pieces of evidence each, in turn.
func fleet(accounts int) *catalog.Campaign {
	c := &catalog.Campaign{Size: accounts}
	c.ID, c.Detail = "c", &palladium.Detail{}
	for i := range accounts {
		id := fmt.Sprintf("a%05d", i)
		c.Accounts = append(c.Accounts, palladium.Member{ID: id, Membership: 0.9})
		c.Detail.Members = append(c.Detail.Members, palladium.MemberDetail{ID: id, Exchanges: 2, Tokens: palladium.Tokens{Output: 7}})
		for j := range 3 {
			f := palladium.Families()[j*2]
			c.Detail.Links = append(c.Detail.Links, palladium.Link{Account: id, Token: fmt.Sprintf("%s %02d", f, (i/7+j)%10), Family: f, Weight: float64(5 - j)})
		}
	}
	return c
}

// A small campaign is drawn account by account, a large one in groups, and every account can be reached by opening.
func TestGraph(t *testing.T) {
	small := newScene(fleet(40), nil)
	v, err := small.open("", 150)
	if err != nil {
		t.Fatal(err)
	}
	if g := small.render(v, ""); g.Aggregated || g.Hidden.Accounts != 0 || g.Hidden.Links != 0 || len(g.Edges) != 120 {
		t.Errorf("small: %+v %d edges", g.Hidden, len(g.Edges))
	}
	s := newScene(fleet(24_000), nil)
	if v, err = s.open("", 150); err != nil {
		t.Fatal(err)
	}
	g := s.render(v, "")
	sum := 0
	for _, n := range g.Nodes {
		if n.Kind != "token" {
			sum += n.Accounts
		}
	}
	if !g.Aggregated || len(g.Nodes) > 150 || sum+g.Hidden.Accounts != 24_000 || g.Total.Links != 72_000 || g.Hidden.Accounts != 0 {
		t.Fatalf("large: %d nodes, %d accounts, %+v", len(g.Nodes), sum, g.Hidden)
	}
	families := map[palladium.Family]bool{}
	for _, e := range g.Edges {
		families[e.Family] = true
	}
	if len(families) != 3 {
		t.Errorf("families drawn: %v", families)
	}
	// Open a group down to accounts, then an account, then a token.
	seen := map[string]int{}
	for _, n := range g.Nodes {
		seen[n.Kind]++
		if n.Kind == "group" {
			accounts := dig(t, s, n, 0)
			if accounts == 0 {
				t.Errorf("no account under %s", n.ID)
			}
		}
	}
	for _, id := range []string{"a:a00001", "t:identity:identity 00"} {
		v, err := s.open(id, 150)
		if err != nil {
			t.Fatal(err)
		}
		if g := s.render(v, id); len(g.Nodes) < 2 || len(g.Nodes) > 150 || g.Around != id {
			t.Errorf("around %s: %d nodes", id, len(g.Nodes))
		}
	}
	for _, bad := range []string{"a:nobody", "t:identity:none", "g:150.000000000000", "g:x", "g:150.0@150.0", "z:1", "g:", "g:150.0@zz", strings.Repeat("g:1@", 100)} {
		if v, err := s.open(bad, 150); err == nil && v != nil {
			t.Errorf("%s is a node", bad)
		}
	}
}

// dig opens groups within groups and counts the accounts that come to light.
func dig(t *testing.T, s *scene, n vertex, depth int) (accounts int) {
	t.Helper()
	if depth > 5 {
		t.Fatalf("group %s does not end", n.ID)
	}
	v, err := s.open(n.ID, 150)
	if err != nil {
		t.Fatalf("%s: %v", n.ID, err)
	}
	for _, m := range s.render(v, n.ID).Nodes {
		switch m.Kind {
		case "account":
			accounts++
		case "group":
			if m.Accounts >= n.Accounts {
				t.Fatalf("group of %d opens into a group of %d", n.Accounts, m.Accounts)
			}
			return accounts + dig(t, s, m, depth+1)
		}
	}
	return accounts
}

func BenchmarkGraph(b *testing.B) {
	c := fleet(24_000)
	for b.Loop() {
		s := newScene(c, nil)
		v, err := s.open("", 150)
		if err != nil {
			b.Fatal(err)
		}
		s.render(v, "")
	}
}

func FuzzAround(f *testing.F) {
	s := newScene(fleet(200), nil)
	for _, id := range []string{"", "a:a00001", "t:identity:identity 00", "g:20.000000000000@a", "g:20.0@20.1@20.2"} {
		f.Add(id, 20)
	}
	f.Fuzz(func(t *testing.T, around string, limit int) {
		if len(around) > 500 || limit < 10 || limit > 2000 {
			return
		}
		if v, err := s.open(around, limit); err == nil && v != nil && len(s.render(v, around).Nodes) > limit {
			t.Errorf("more nodes than %d", limit)
		}
	})
}
