package investigate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// graph is a part of the bipartite graph of accounts and the evidence that joins them.
type graph struct {
	Nodes      []vertex `json:"nodes"`
	Edges      []arc    `json:"edges"`
	Total      counts   `json:"total"`
	Hidden     counts   `json:"hidden"`
	Aggregated bool     `json:"aggregated"`
	Around     string   `json:"around"`
}

type counts struct {
	Accounts int `json:"accounts"`
	Tokens   int `json:"tokens"`
	Links    int `json:"links"`
}

type vertex struct {
	ID         string           `json:"id"`
	Kind       string           `json:"kind"`
	Label      string           `json:"label"`
	Accounts   int              `json:"accounts"`
	Weight     float64          `json:"weight"`
	Family     palladium.Family `json:"family,omitempty"`
	Membership float64          `json:"membership,omitzero"`
	Exchanges  int64            `json:"exchanges,omitzero"`
	Output     int64            `json:"output,omitzero"`
	Opens      bool             `json:"opens"`
}

type arc struct {
	Source   string           `json:"source"`
	Target   string           `json:"target"`
	Family   palladium.Family `json:"family"`
	Weight   float64          `json:"weight"`
	Accounts int              `json:"accounts"`
}

// deepest is how far groups within groups are opened; the longest node id fits the contract.
const deepest = 400

func (d *Desk) getGraph(q *api.Request) (*api.Answer, error) {
	c, err := d.campaign(q.Context(), q.Param("id"))
	if err != nil {
		return nil, err
	}
	s := newScene(c, q.List("family"))
	around := q.Param("around")
	limit := int(q.Int("limit", 150))
	v, err := s.open(around, limit)
	if err != nil {
		return nil, err
	}
	return api.OK(s.render(v, around))
}

// bond is one piece of evidence that an account holds.
type bond struct {
	token, account int
	weight         float64
}

// piecesKey names a piece of evidence.
type pieceKey struct {
	family palladium.Family
	label  string
}

// scene is the whole graph of a campaign, or of some families of it.
type scene struct {
	c        *catalog.Campaign
	tokens   []pieceKey
	accounts []string
	bonds    []bond
	holders  [][]int // bonds of a token
	holds    [][]int // bonds of an account
	member   map[string]float64
	detail   map[string]*palladium.MemberDetail
}

func newScene(c *catalog.Campaign, families []string) *scene {
	s := &scene{c: c, member: make(map[string]float64, len(c.Accounts)), detail: make(map[string]*palladium.MemberDetail, len(c.Detail.Members))}
	for _, m := range c.Accounts {
		s.member[m.ID] = m.Membership
	}
	for i := range c.Detail.Members {
		s.detail[c.Detail.Members[i].ID] = &c.Detail.Members[i]
	}
	tokens, accounts := map[pieceKey]int{}, map[string]int{}
	for _, l := range c.Detail.Links {
		if len(families) > 0 && !slices.Contains(families, string(l.Family)) {
			continue
		}
		k := pieceKey{l.Family, l.Token}
		t, ok := tokens[k]
		if !ok {
			t = len(s.tokens)
			tokens[k] = t
			s.tokens, s.holders = append(s.tokens, k), append(s.holders, nil)
		}
		a, ok := accounts[l.Account]
		if !ok {
			a = len(s.accounts)
			accounts[l.Account] = a
			s.accounts, s.holds = append(s.accounts, l.Account), append(s.holds, nil)
		}
		if slices.ContainsFunc(s.holds[a], func(b int) bool { return s.bonds[b].token == t }) {
			continue
		}
		s.holders[t], s.holds[a] = append(s.holders[t], len(s.bonds)), append(s.holds[a], len(s.bonds))
		s.bonds = append(s.bonds, bond{t, a, l.Weight})
	}
	return s
}

// view is what is drawn: tokens, and accounts in groups of those that hold the same drawn tokens.
type view struct {
	limit  int
	tokens []int
	groups []cluster
	chain  string // ids of its groups end with it
}

// cluster is a set of accounts that hold the same drawn tokens. Of one account it is that account.
type cluster struct {
	tokens   []int // ascending
	accounts []int
	weight   float64 // mean of the members' sums over the drawn tokens
}

// open makes the view around a node; around nothing, that of the whole.
func (s *scene) open(around string, limit int) (*view, error) {
	kind, rest, _ := strings.Cut(around, ":")
	all := make([]int, len(s.accounts))
	for i := range all {
		all[i] = i
	}
	gone := api.NotFound("node: the campaign has changed, draw the graph anew")
	switch kind {
	case "":
		return s.draw(all, nil, nil, limit, ""), nil
	case "t":
		for t, k := range s.tokens {
			if rest == string(k.family)+":"+k.label {
				return s.draw(s.holding([]int{t}), []int{t}, nil, limit, "@"+digest(around)), nil
			}
		}
	case "a":
		a := slices.Index(s.accounts, rest)
		if a < 0 {
			return nil, gone
		}
		var own []int
		for _, b := range s.holds[a] {
			own = append(own, s.bonds[b].token)
		}
		return s.draw(s.holding(own), nil, own, limit, "@"+digest(around)), nil
	case "g":
		accounts, err := s.members(rest)
		if err != nil {
			return nil, err
		}
		if accounts != nil {
			v := s.draw(accounts, nil, nil, limit, "@"+rest)
			s.split(v, len(accounts))
			return v, nil
		}
	}
	return nil, gone
}

// members finds the accounts of a group by its id: limit.signature, and behind @ the view that it stood in.
func (s *scene) members(id string) ([]int, error) {
	own, parent, nested := strings.Cut(id, "@")
	number, signature, _ := strings.Cut(own, ".")
	limit, err := strconv.Atoi(number)
	if err != nil || limit < 1 || limit > 2000 {
		return nil, api.BadRequest("around is not a node of a graph")
	}
	var v *view
	switch {
	case !nested:
		v, err = s.open("", limit)
	case strings.Contains(parent, "."):
		v, err = s.open("g:"+parent, limit)
	default: // around a token or an account, by digest
		node := s.byDigest(parent)
		if node == "" {
			return nil, nil
		}
		v, err = s.open(node, limit)
	}
	if err != nil {
		return nil, err
	}
	for _, g := range v.groups {
		if s.signature(g.tokens) == signature {
			return g.accounts, nil
		}
	}
	return nil, nil
}

// byDigest finds a token or an account by the digest of its node's id.
func (s *scene) byDigest(want string) string {
	for _, k := range s.tokens {
		if id := tokenID(k); digest(id) == want {
			return id
		}
	}
	for _, a := range s.accounts {
		if id := "a:" + a; digest(id) == want {
			return id
		}
	}
	return ""
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

func tokenID(k pieceKey) string { return "t:" + string(k.family) + ":" + k.label }

func (s *scene) signature(tokens []int) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(tokenID(s.tokens[t]))
		b.WriteByte(0)
	}
	return digest(b.String())
}

// holding returns the accounts that hold any of the tokens, ascending.
func (s *scene) holding(tokens []int) []int {
	seen := map[int]bool{}
	var out []int
	for _, t := range tokens {
		for _, b := range s.holders[t] {
			if a := s.bonds[b].account; !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	slices.Sort(out)
	return out
}

// draw picks what fits: a quarter of the nodes may be tokens, the strongest among the accounts first and every family once;
// those of must are always drawn, and when only is given no others are. Accounts that then hold the same tokens stand together,
// the heaviest groups first; where room is left the smallest groups are drawn one by one.
func (s *scene) draw(accounts, must, only []int, limit int, chain string) *view {
	v := &view{limit: limit, chain: chain}
	inside := make(map[int]bool, len(accounts))
	for _, a := range accounts {
		inside[a] = true
	}
	v.tokens = s.pick(inside, must, only, max(4, limit/4))
	drawn := make(map[int]bool, len(v.tokens))
	for _, t := range v.tokens {
		drawn[t] = true
	}
	at := map[string]int{}
	for _, a := range accounts {
		var tokens []int
		var sum float64
		for _, b := range s.holds[a] {
			if t := s.bonds[b].token; drawn[t] {
				tokens = append(tokens, t)
				sum += s.bonds[b].weight
			}
		}
		if len(tokens) == 0 {
			continue
		}
		slices.Sort(tokens)
		key := fmt.Sprint(tokens)
		i, ok := at[key]
		if !ok {
			i = len(v.groups)
			at[key] = i
			v.groups = append(v.groups, cluster{tokens: tokens})
		}
		v.groups[i].accounts = append(v.groups[i].accounts, a)
		v.groups[i].weight += sum
	}
	v.fit(max(1, limit-len(v.tokens)))
	return v
}

// fit keeps as many groups as there is room for, and takes the smallest apart while all fits.
func (v *view) fit(room int) {
	for i := range v.groups {
		v.groups[i].weight /= float64(len(v.groups[i].accounts))
	}
	slices.SortStableFunc(v.groups, func(a, b cluster) int {
		return cmp.Compare(b.weight*float64(len(b.accounts)), a.weight*float64(len(a.accounts)))
	})
	v.groups = v.groups[:min(room, len(v.groups))]
	room -= len(v.groups)
	order := make([]int, len(v.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(v.groups[a].accounts) - len(v.groups[b].accounts) })
	for _, i := range order {
		g := v.groups[i]
		more := len(g.accounts) - 1
		if more == 0 {
			continue
		}
		if more > room {
			break
		}
		room -= more
		v.groups[i].accounts = g.accounts[:1]
		for _, a := range g.accounts[1:] {
			v.groups = append(v.groups, cluster{g.tokens, []int{a}, g.weight})
		}
	}
}

// split takes a group apart that holds all that was opened: those of its accounts that drew most are shown one by one.
func (s *scene) split(v *view, opened int) {
	if len(v.groups) != 1 || len(v.groups[0].accounts) < opened || opened == 1 {
		return
	}
	g := v.groups[0]
	drew := func(a int) int64 {
		if d := s.detail[s.accounts[a]]; d != nil {
			return d.Tokens.Output
		}
		return 0
	}
	accounts := slices.Clone(g.accounts)
	slices.SortStableFunc(accounts, func(a, b int) int { return cmp.Compare(drew(b), drew(a)) })
	v.groups = nil
	for _, a := range accounts[:min(len(accounts), max(1, v.limit-len(v.tokens)))] {
		v.groups = append(v.groups, cluster{g.tokens, []int{a}, g.weight})
	}
}

// pick chooses the tokens of a view.
func (s *scene) pick(inside map[int]bool, must, only []int, limit int) []int {
	type candidate struct {
		token int
		sum   float64
	}
	var list []candidate
	for t, bonds := range s.holders {
		if len(only) > 0 && !slices.Contains(only, t) {
			continue
		}
		c := candidate{token: t}
		n := 0
		for _, b := range bonds {
			if inside[s.bonds[b].account] {
				c.sum += s.bonds[b].weight
				n++
			}
		}
		if n > 1 || n == 1 && (len(only) > 0 || len(inside) == 1) || slices.Contains(must, t) {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(b.sum, a.sum) })
	keep, seen := map[int]bool{}, map[palladium.Family]bool{}
	for _, t := range must {
		keep[t] = true
	}
	for pass := range 2 {
		for _, c := range list {
			if f := s.tokens[c.token].family; len(keep) < limit && !keep[c.token] && (pass == 1 || !seen[f]) {
				keep[c.token], seen[f] = true, true
			}
		}
	}
	var out []int
	for _, c := range list {
		if keep[c.token] {
			out = append(out, c.token)
		}
	}
	return out
}

// render turns a view into nodes and edges.
func (s *scene) render(v *view, around string) graph {
	g := graph{Around: around, Total: counts{max(s.c.Size, len(s.accounts)), len(s.tokens), len(s.bonds)}}
	for _, t := range v.tokens {
		n := vertex{ID: tokenID(s.tokens[t]), Kind: "token", Label: s.tokens[t].label, Family: s.tokens[t].family, Accounts: len(s.holders[t]), Opens: true}
		for _, b := range s.holders[t] {
			n.Weight += s.bonds[b].weight / float64(len(s.holders[t]))
		}
		g.Nodes = append(g.Nodes, n)
	}
	shown, links := 0, 0
	for i := range v.groups {
		n := s.node(v, &v.groups[i])
		g.Nodes = append(g.Nodes, n)
		g.Aggregated = g.Aggregated || n.Kind == "group"
		shown += len(v.groups[i].accounts)
		for _, t := range v.groups[i].tokens {
			g.Edges = append(g.Edges, s.arc(&v.groups[i], t, n.ID))
			links += len(v.groups[i].accounts)
		}
	}
	g.Hidden = counts{g.Total.Accounts - shown, g.Total.Tokens - len(v.tokens), g.Total.Links - links}
	return g
}

func (s *scene) node(v *view, g *cluster) vertex {
	n := vertex{Kind: "group", Accounts: len(g.accounts), Weight: g.weight, Opens: true}
	for _, a := range g.accounts {
		id := s.accounts[a]
		n.Membership += s.member[id] / float64(len(g.accounts))
		if d := s.detail[id]; d != nil {
			n.Exchanges += d.Exchanges
			n.Output += d.Tokens.Output
		}
	}
	if len(g.accounts) == 1 {
		n.Kind, n.Label = "account", s.accounts[g.accounts[0]]
		n.ID = "a:" + n.Label
		return n
	}
	n.ID = "g:" + strconv.Itoa(v.limit) + "." + s.signature(g.tokens) + v.chain
	n.Opens = len(n.ID) < deepest
	var labels []string
	for _, t := range g.tokens[:min(3, len(g.tokens))] {
		labels = append(labels, s.tokens[t].label)
	}
	n.Label = fmt.Sprintf("%d accounts that share %s", len(g.accounts), strings.Join(labels, ", "))
	if more := len(g.tokens) - len(labels); more > 0 {
		n.Label += fmt.Sprintf(" and %d more", more)
	}
	return n
}

// arc is what joins a group, or one account, to a token.
func (s *scene) arc(g *cluster, token int, from string) arc {
	e := arc{Source: from, Target: tokenID(s.tokens[token]), Family: s.tokens[token].family, Accounts: len(g.accounts)}
	for _, a := range g.accounts {
		for _, b := range s.holds[a] {
			if s.bonds[b].token == token {
				e.Weight += s.bonds[b].weight / float64(len(g.accounts))
			}
		}
	}
	return e
}
