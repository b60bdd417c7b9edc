// Package verdict is the table of verdicts that a gateway reads: immutable, compact, replaced whole. Who builds one and
// who reads it share nothing else.
package verdict

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palladium-guard/palladium"
)

// ErrVerdict says that a verdict cannot stand in a table.
var ErrVerdict = errors.New("verdict is not valid")

// Limits of what one verdict may hold.
const (
	maxName  = 255     // bytes of an account, an id and an appeal reference
	maxText  = 1024    // bytes of each other string of a verdict
	maxBlob  = 1 << 32 // bytes of all accounts, ids and appeal references of a table
	maxRows  = 1 << 28
	maxTerms = 1 << 24
)

// Table is a set of verdicts by account. It is immutable and safe for concurrent use. A million verdicts take less than
// 100 MB: what many share (measure, reason, campaign and so on) is kept once, and there are no pointers per account.
type Table struct {
	version uint64
	made    int64 // Unix nanoseconds
	rows    []row // by account, then id
	terms   []terms
	groups  []string // campaigns; the first is empty
	blob    string   // of each row: account, id, appeal reference
	seed    maphash.Seed
	index   []uint32 // open addressing: 1 + the first row of an account; 0 when free. A power of two, at most half full
}

// row is one verdict: 32 bytes.
type row struct {
	issued, expires int64 // Unix nanoseconds; noTime when not stated
	at              uint32
	group           uint32
	terms           uint32
	account         uint8 // lengths, in bytes
	id              uint8
	appeal          uint8
	more            bool // the next row is of the same account
}

// terms are what many verdicts have in common.
type terms struct {
	measure, stage, reason, model string
	rank                          int8 // place of measure among palladium.Measures
	shadow                        bool
	delay                         int64 // nanoseconds
	pace                          float64
	tokens                        int64
}

// noTime is the time of a verdict that states none: one that has held since ever.
const noTime = math.MinInt64

// New returns a table of the verdicts. Versions order tables: a Holder takes none that is older than the one it has. Made
// is when the verdicts were decided, from which their age counts. Errors wrap ErrVerdict and name the verdict's id.
func New(version uint64, made time.Time, verdicts []palladium.Verdict) (*Table, error) {
	order := make([]int, len(verdicts))
	size := 0
	for i := range verdicts {
		if err := Check(&verdicts[i]); err != nil {
			return nil, err
		}
		order[i] = i
		size += len(verdicts[i].Account) + len(verdicts[i].ID) + len(verdicts[i].Appeal)
	}
	if len(verdicts) > maxRows || size >= maxBlob {
		return nil, fmt.Errorf("%w: %d verdicts are more than a table holds", ErrVerdict, len(verdicts))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(strings.Compare(verdicts[a].Account, verdicts[b].Account), strings.Compare(verdicts[a].ID, verdicts[b].ID))
	})
	t := &Table{version: version, made: made.UnixNano(), rows: make([]row, 0, len(verdicts)), groups: []string{""}}
	known := make(map[terms]uint32)
	groups := map[string]uint32{"": 0}
	var blob strings.Builder
	blob.Grow(size)
	for n, i := range order {
		v := &verdicts[i]
		if n > 0 {
			p := &verdicts[order[n-1]]
			if t.rows[n-1].more = p.Account == v.Account; t.rows[n-1].more && p.ID == v.ID {
				return nil, fmt.Errorf("%w: verdict %q stands twice for one account", ErrVerdict, clip(v.ID))
			}
		}
		r := row{
			issued: nanos(v.Issued), expires: v.Expires.UnixNano(), at: uint32(blob.Len()),
			account: uint8(len(v.Account)), id: uint8(len(v.ID)), appeal: uint8(len(v.Appeal)),
		}
		blob.WriteString(v.Account)
		blob.WriteString(v.ID)
		blob.WriteString(v.Appeal)
		r.terms = intern(known, &t.terms, termsOf(v))
		r.group = intern(groups, &t.groups, v.Campaign)
		t.rows = append(t.rows, r)
	}
	t.blob = blob.String()
	t.link()
	return t, nil
}

// intern returns the place of v in list, where it is put if need be.
func intern[T comparable](known map[T]uint32, list *[]T, v T) uint32 {
	at, ok := known[v]
	if !ok {
		at = uint32(len(*list))
		known[v] = at
		*list = append(*list, v)
	}
	return at
}

// Check says why v cannot stand in a table; nil when it can. Errors wrap ErrVerdict and name the verdict's id.
func Check(v *palladium.Verdict) error {
	if err := check(v); err != nil {
		return fmt.Errorf("%w: verdict %q: %w", ErrVerdict, clip(v.ID), err)
	}
	return nil
}

// Names reports whether a table can hold verdicts about the account: its id is text of 1 to 255 bytes.
func Names(account string) bool {
	return account != "" && len(account) <= maxName && utf8.ValidString(account) && !strings.Contains(account, "\x00")
}

// AppealAt is where the holder of the reference can object: the address with the reference in the place of {reference}, or behind
// it where it has none. Either may be empty.
func AppealAt(address, reference string) string {
	switch {
	case strings.Contains(address, "{reference}"):
		return strings.ReplaceAll(address, "{reference}", url.PathEscape(reference))
	case reference == "":
		return address
	case address == "":
		return reference
	}
	return address + " (reference " + reference + ")"
}

// check finds verdicts that a gateway could not apply.
func check(v *palladium.Verdict) error {
	for name, s := range map[string]string{
		"campaign": v.Campaign, "stage": string(v.Stage), "reason": v.Reason, "model": v.Model,
	} {
		if len(s) > maxText {
			return fmt.Errorf("its %s is longer than %d bytes", name, maxText)
		}
	}
	switch {
	case v.Account == "":
		return errors.New("it names no account")
	case max(len(v.Account), len(v.ID), len(v.Appeal)) > maxName:
		return fmt.Errorf("its account, its id or its appeal is longer than %d bytes", maxName)
	case rank(v.Measure) < 0:
		return fmt.Errorf("its measure %q is none of %s", clip(string(v.Measure)), measures())
	case v.Reason == "" && v.Measure != palladium.MeasureObserve:
		return errors.New("it has no reason code, which the caller must be told")
	case v.Expires.IsZero():
		return errors.New("it has no time of expiry: no verdict holds for ever")
	case !v.Expires.After(v.Issued):
		return errors.New("it expires before it is issued")
	case !representable(v.Expires) || !v.Issued.IsZero() && !representable(v.Issued):
		return errors.New("its times lie outside the years 1678 to 2262")
	case v.Delay < 0 || v.Tokens < 0 || math.IsNaN(v.TokensPerSecond) || math.IsInf(v.TokensPerSecond, 0) || v.TokensPerSecond < 0:
		return errors.New("its delay, tokens or tokens a second are negative or not a number")
	case v.Measure == palladium.MeasureSlow && v.Delay == 0 && v.TokensPerSecond == 0:
		return errors.New("it slows down, but states neither delay nor tokens_per_second")
	case v.Measure == palladium.MeasureBudget && v.Campaign == "":
		return errors.New("it sets a budget for a campaign, but names none")
	case v.Measure == palladium.MeasureSmaller && v.Model == "":
		return errors.New("it has a smaller model answer, but names none")
	}
	return nil
}

// representable reports whether t can be counted in nanoseconds from 1970.
func representable(t time.Time) bool {
	n := t.UnixNano()
	return n != noTime && time.Unix(0, n).Equal(t)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// rank is the strictness of m: its place among the measures, mildest first; -1 when it is none.
func rank(m palladium.Measure) int { return slices.Index(palladium.Measures(), m) }

func measures() string {
	var names []string
	for _, m := range palladium.Measures() {
		names = append(names, string(m))
	}
	return strings.Join(names, ", ")
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

func termsOf(v *palladium.Verdict) terms {
	return terms{
		measure: string(v.Measure), stage: string(v.Stage), reason: v.Reason, model: v.Model, rank: int8(rank(v.Measure)),
		shadow: v.Shadow, delay: int64(v.Delay), pace: v.TokensPerSecond, tokens: v.Tokens,
	}
}

// link builds the index over rows that stand in order.
func (t *Table) link() {
	accounts := 0
	for i := range t.rows {
		if i == 0 || !t.rows[i-1].more {
			accounts++
		}
	}
	size := 2
	for size < 2*accounts {
		size *= 2
	}
	t.seed = maphash.MakeSeed() // differs in each process, so that nobody can choose accounts that collide
	t.index = make([]uint32, size)
	for i := range t.rows {
		if i > 0 && t.rows[i-1].more {
			continue
		}
		at := maphash.String(t.seed, t.account(i)) & uint64(size-1)
		for t.index[at] != 0 {
			at = (at + 1) & uint64(size-1)
		}
		t.index[at] = uint32(i + 1)
	}
}

func (t *Table) account(i int) string {
	r := &t.rows[i]
	return t.blob[r.at : uint64(r.at)+uint64(r.account)]
}

// first returns the first row of an account, or -1.
func (t *Table) first(account string) int {
	if len(t.index) == 0 {
		return -1
	}
	mask := uint64(len(t.index) - 1)
	for at := maphash.String(t.seed, account) & mask; t.index[at] != 0; at = (at + 1) & mask {
		if i := int(t.index[at] - 1); t.account(i) == account {
			return i
		}
	}
	return -1
}

// verdict returns the verdict of row i, in the table's own strings: nothing is copied.
func (t *Table) verdict(i int) palladium.Verdict {
	r := &t.rows[i]
	m := &t.terms[r.terms]
	id := uint64(r.at) + uint64(r.account)
	appeal := id + uint64(r.id)
	return palladium.Verdict{
		ID: t.blob[id:appeal], Account: t.account(i), Campaign: t.groups[r.group], Stage: palladium.Stage(m.stage),
		Measure: palladium.Measure(m.measure), Reason: m.reason, Issued: instant(r.issued), Expires: instant(r.expires),
		Shadow: m.shadow, Appeal: t.blob[appeal : appeal+uint64(r.appeal)], Delay: time.Duration(m.delay),
		TokensPerSecond: m.pace, Tokens: m.tokens, Model: m.model,
	}
}

// Standing is what a table says of one account at one time.
type Standing struct {
	Verdict  palladium.Verdict // the strictest that is enforced; valid when Enforced
	Shadow   palladium.Verdict // the strictest that is only recorded; valid when Shadowed
	Enforced bool
	Shadowed bool
}

// Find returns what holds for the account at the time now. Of several verdicts in force the strictest counts, by the
// order of palladium.Measures; of equally strict ones the one that expires last, then the one whose id comes first. Shadow
// verdicts are judged apart. What was in force when the table was made is so here too, also where this clock is behind the one by which
// it was decided. It allocates nothing.
func (t *Table) Find(account string, now time.Time) (s Standing) {
	best := [2]int{-1, -1}
	if t == nil {
		return s
	}
	at := now.UnixNano()
	for i := t.first(account); i >= 0; i++ {
		r := &t.rows[i]
		if (r.issued <= at || r.issued <= t.made) && at < r.expires {
			m := &t.terms[r.terms]
			b := &best[0]
			if m.shadow {
				b = &best[1]
			}
			if *b < 0 || m.rank > t.terms[t.rows[*b].terms].rank || m.rank == t.terms[t.rows[*b].terms].rank && r.expires > t.rows[*b].expires {
				*b = i
			}
		}
		if !r.more {
			break
		}
	}
	if best[0] >= 0 {
		s.Verdict, s.Enforced = t.verdict(best[0]), true
	}
	if best[1] >= 0 {
		s.Shadow, s.Shadowed = t.verdict(best[1]), true
	}
	return s
}

// All yields every verdict of the table, by account and id, expired ones too.
func (t *Table) All() iter.Seq[palladium.Verdict] {
	return func(yield func(palladium.Verdict) bool) {
		for i := range t.rows {
			if !yield(t.verdict(i)) {
				return
			}
		}
	}
}

// Len returns the number of verdicts, expired ones included.
func (t *Table) Len() int { return len(t.rows) }

// Version returns the table's version.
func (t *Table) Version() uint64 { return t.version }

// Made returns when the table's verdicts were decided.
func (t *Table) Made() time.Time { return time.Unix(0, t.made).UTC() }
