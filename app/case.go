package app

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
)

// Case is a report together with what is known of every account.
type Case struct {
	Report *palladium.Report
	det    *Detector
}

// OpenCase makes the report of a kept state anew, under the policy given or, when that is nil, the one that the program
// carries. It changes nothing, and a scan may use the state at the same time.
func OpenCase(dir string, policy []byte) (*Case, error) {
	if policy == nil {
		policy = rules.Policy()
	}
	f := &folder{dir: dir}
	in, err := os.Open(f.path(stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the state: %w: there is none in %s: make it with palladium scan --state", ErrState, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	defer in.Close()
	if err := f.readKey(); err != nil {
		return nil, err
	}
	s := &scan{opt: ScanOptions{Policy: policy, Key: &f.key}}
	l := new(ledger)
	_, _, err = ReadSnapshot(in, l, func() (*Detector, error) {
		s.opt.Without = map[palladium.Family]bool{}
		for _, name := range l.Without {
			s.opt.Without[palladium.Family(name)] = true
		}
		if err := f.suits(s, l); err != nil {
			return nil, err
		}
		err := s.prepare()
		return s.det, err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.path(stateName), err)
	}
	s.det.clock = l.Clock
	return &Case{Report: s.det.Report(l.Rejected), det: s.det}, nil
}

// Seen returns what an account drew, and in Evidence what it shares with how many others: for each kind of thing the
// rarest one, with the log of how many times rarer it is than if everybody had it. What a fifth of all accounts or more
// have is left out. It reports false for an account that never occurred.
func (c *Case) Seen(account string) (palladium.MemberDetail, bool) {
	x := c.det.index
	a, ok := x.Lookup(account)
	if !ok {
		return palladium.MemberDetail{}, false
	}
	p := x.Profile(a)
	d := palladium.MemberDetail{
		ID: account, Exchanges: int64(p.Exchanges),
		Tokens: palladium.Tokens{Input: int64(p.Input), Output: int64(p.Output), Reasoning: int64(p.Reasoning)},
		First:  time.UnixMilli(p.First).UTC(), Last: time.UnixMilli(p.Last).UTC(),
	}
	var rarest, things [palladium.KindCount]int
	for _, e := range &p.Edges {
		if e.Token == palladium.NoToken {
			continue
		}
		t := x.Token(e.Token)
		others := int(t.Holders) - 1
		if others < 1 || 5*others >= x.Accounts() || t.Kind.Family() == "" {
			continue
		}
		things[t.Kind]++
		if rarest[t.Kind] == 0 || others < rarest[t.Kind] {
			rarest[t.Kind] = others
		}
	}
	for k := range palladium.KindCount {
		if n := rarest[k]; n > 0 {
			d.Evidence = append(d.Evidence, palladium.Evidence{
				Family: palladium.Kind(k).Family(), Says: says(palladium.Kind(k), things[k], n), Accounts: n,
				Weight: math.Log(float64(x.Accounts()) / float64(n+1)),
			})
		}
	}
	slices.SortStableFunc(d.Evidence, func(a, b palladium.Evidence) int { return int(1e3 * (b.Weight - a.Weight)) })
	return d, true
}

// says puts in words that an account shares things of kind k, the rarest with n others.
func says(k palladium.Kind, things, n int) string {
	one, many := thing(k)
	who := fmt.Sprintf("%d other accounts", n)
	if n == 1 {
		who = "one other account"
	}
	if things == 1 {
		return fmt.Sprintf("%s is shared with %s", one, who)
	}
	return fmt.Sprintf("%d %s are shared, the rarest with %s", things, many, who)
}

// thing names what a token of kind k stands for, once and in the plural.
func thing(k palladium.Kind) (one, many string) {
	switch k {
	case palladium.KindPayment:
		return "the payment instrument", "payment instruments"
	case palladium.KindBIN:
		return "the issuer range of the card", "issuer ranges"
	case palladium.KindPhone:
		return "the phone prefix", "phone prefixes"
	case palladium.KindEmail:
		return "the domain and shape of the e-mail address", "e-mail shapes"
	case palladium.KindDevice:
		return "the device that signed up", "devices"
	case palladium.KindSignupIP:
		return "the address that signed up", "addresses"
	case palladium.KindSignupNet:
		return "the network that signed up", "networks"
	case palladium.KindCredential:
		return "a key or session", "keys or sessions"
	case palladium.KindIP:
		return "an address", "addresses"
	case palladium.KindNet:
		return "a network", "networks"
	case palladium.KindClientDevice:
		return "the device", "devices"
	case palladium.KindClient:
		return "the client program", "client programs"
	case palladium.KindSystem:
		return "a system prompt", "system prompts"
	case palladium.KindTools:
		return "the set of tools", "sets of tools"
	case palladium.KindParams:
		return "a tuple of parameters", "tuples of parameters"
	case palladium.KindShingle:
		return "a wording", "wordings"
	case palladium.KindChain:
		return "a conversation", "conversations"
	case palladium.KindEcho:
		return "an answer that was sent back", "answers that were sent back"
	case palladium.KindCell:
		return "the mixture of topics", "mixtures of topics"
	}
	return "something", "things"
}
