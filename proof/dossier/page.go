package dossier

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// document is all that an archive of one profile says.
type document struct {
	Schema    string
	Profile   Profile
	Made      time.Time
	LeftOut   []string
	Ledger    string
	Entries   []EntryView
	Facts     Facts
	Inference Inference
	Actions   Actions
	Method    Method
}

// EntryView is an entry of the ledger that the archive proves.
type EntryView struct {
	Index uint64 `json:"index"`
	Type  string `json:"type"`
	Proof string `json:"proof"` // name of the file
}

// summary is dossier.json.
type summary struct {
	Schema   string      `json:"schema"`
	Profile  Profile     `json:"profile"`
	Campaign string      `json:"campaign"`
	Made     time.Time   `json:"made"`
	Site     string      `json:"site"`
	Software string      `json:"software"`
	Claim    string      `json:"claim"`
	LeftOut  []string    `json:"left_out"`
	Ledger   string      `json:"ledger"`
	Entries  []EntryView `json:"entries"`
}

func (d *document) summary() summary {
	return summary{d.Schema, d.Profile, d.Facts.Campaign, d.Made, d.Method.Site, d.Method.Software, d.Inference.Claim, d.LeftOut, d.Ledger, d.Entries}
}

// shown is how many accounts the page lists; the rest stands in facts.json.
const shown = 500

// page writes the page that people read and print. Everything that comes from outside is escaped, and the page may run
// nothing and fetch nothing.
func (d *document) page() ([]byte, error) {
	t, err := template.New("dossier").Funcs(template.FuncMap{
		"time":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"maybe": func(t *time.Time) string { return maybe(t) },
		"p":     probability,
		"count": count,
		"share": func(f float64) string { return fmt.Sprintf("%.1f %%", 100*f) },
		"nats":  func(f float64) string { return fmt.Sprintf("%.2f", f) },
		"plain": visible,
		"rate":  func(f *float64) string { return rate(f) },
	}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("read page of dossier: %w", err)
	}
	sum := sha256.Sum256([]byte(pageCSS))
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"D": d, "CSS": template.CSS(pageCSS), "Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		"Bars": bars(d.Facts.Draws), "Accounts": d.accounts(), "More": max(0, len(d.Facts.Accounts)-shown)})
	if err != nil {
		return nil, fmt.Errorf("write page of dossier: %w", err)
	}
	return b.Bytes(), nil
}

func maybe(t *time.Time) string {
	if t == nil {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func rate(f *float64) string {
	if f == nil {
		return "not known yet"
	}
	return fmt.Sprintf("%.2f %%", 100**f)
}

// visible shows control characters and text-direction marks as escapes, so that no name rearranges a line.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff, r >= 0xe0000 && r < 0xe0080:
			fmt.Fprintf(&b, "\\u{%x}", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// count writes a number with thin spaces between thousands.
func count(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// row is a member on the page.
type row struct {
	FactsAccount
	Membership float64
}

// accounts returns the members that the page lists, those that drew most first.
func (d *document) accounts() []row {
	rows := make([]row, 0, len(d.Facts.Accounts))
	for i, a := range d.Facts.Accounts {
		rows = append(rows, row{a, d.Inference.Members[i].Membership})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.Tokens.Output > b.Tokens.Output:
			return -1
		case a.Tokens.Output < b.Tokens.Output:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return rows[:min(len(rows), shown)]
}

// bar is one step of the drawing of what was drawn.
type bar struct {
	X, Y, Width, Height float64
	Says                string
}

// bars draws the timeline in a box of 1,000 by 120.
func bars(draws []palladium.Draw) (out []bar) {
	var most int64 = 1
	for _, d := range draws {
		most = max(most, d.Tokens.Output)
	}
	width := 1000 / float64(max(1, len(draws)))
	for i, d := range draws {
		height := 120 * float64(d.Tokens.Output) / float64(most)
		out = append(out, bar{float64(i) * width, 120 - height, width * 0.9, height,
			fmt.Sprintf("%s: %s output tokens in %s exchanges", d.Start.UTC().Format("2006-01-02 15:04"), count(d.Tokens.Output), count(d.Exchanges))})
	}
	return out
}
