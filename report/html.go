package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
)

//go:embed page
var page embed.FS

// Bounds that keep the page below 5 MB whatever the report holds.
const (
	maxSections = 30   // campaigns shown in full; the rest stand in the overview
	maxRows     = 1000 // accounts of one campaign
	allRows     = 3000 // accounts of all campaigns together
	maxNodes    = 150  // of one link graph
	maxEdges    = 600  // of one link graph
	maxBars     = 120  // of one timeline
	maxLinked   = 300  // linked groups
	maxOverview = 1000 // lines of the overview
	maxID       = 72   // runes of an id
)

// Meta is what the page says about its own making.
type Meta struct {
	Version string             // of the program; may be empty
	Made    time.Time          // when; left out when zero
	Sources []string           // the files read; may be empty
	Rejects []palladium.Reject // samples of the records skipped; the total stands in the report
	Notes   []string           // what the reader should know of how the report came about, a sentence each
}

// HTML writes r as one self-contained page: styles and script inline under a Content-Security-Policy that admits only
// these two by their hashes and no network at all. The part of its address after # selects a campaign. The page stays
// below 5 MB: accounts, drawings and tables are cut at fixed bounds, and each cut is said where it was made.
func HTML(w io.Writer, r *palladium.Report, m Meta) error {
	style, err := asset("page/page.css", "style")
	if err != nil {
		return err
	}
	script, err := asset("page/page.js", "script")
	if err != nil {
		return err
	}
	t, err := template.ParseFS(page, "page/*.html")
	if err != nil {
		return fmt.Errorf("parse the page: %w", err)
	}
	v := newPage(ordered(r), m)
	v.Style, v.Script = style.element, script.element
	v.Policy = "default-src 'none'; style-src " + style.hash + "; script-src " + script.hash + "; base-uri 'none'; form-action 'none'"
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, "page.html", v); err != nil {
		return fmt.Errorf("render the page: %w", err)
	}
	if _, err := w.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// inline is a file of the page as an element, and its hash as the policy names it.
type inline struct {
	element template.HTML
	hash    string
}

func asset(path, element string) (inline, error) {
	b, err := page.ReadFile(path)
	if err != nil {
		return inline{}, fmt.Errorf("read the page: %w", err)
	}
	body := "\n" + strings.TrimSpace(string(b)) + "\n"
	sum := sha256.Sum256([]byte(body))
	return inline{
		element: template.HTML("<" + element + ">" + body + "</" + element + ">"),
		hash:    "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}, nil
}

// symbols draws the stages and the families, each with a shape of its own, so that colour is never the only carrier.
func symbols() template.HTML {
	shapes := []struct{ name, path string }{
		{"act", "M8 1l7 13H1z"},
		{"review", "M8 1l7 7l-7 7l-7-7z"},
		{"watch", "M8 2a6 6 0 1 0 .01 0zM8 5a3 3 0 1 1-.01 0z"},
		{string(palladium.Identity), "M2 2h12v12H2z"},
		{string(palladium.Network), "M8 .5l7.5 7.5l-7.5 7.5l-7.500-7.500z"},
		{string(palladium.Template), "M8 1l7.500 13H.5z"},
		{string(palladium.Continuity), "M4 1.500h8l4 6.500l-4 6.500H4L0 8z"},
		{string(palladium.Twins), "M8 1a7 7 0 1 0 .01 0zM8 4.500a3.500 3.500 0 1 1-.01 0z"},
		{string(palladium.Queue), "M1 2h14v3H1zM1 6.500h14v3H1zM1 11h14v3H1z"},
		{string(palladium.Schedule), "M.5 2h15L8 15z"},
		{string(palladium.Parameters), "M5.500 1h5v4.500H15v5h-4.500V15h-5v-4.500H1v-5h4.500z"},
		{"other", "M8 2.500a5.500 5.500 0 1 0 .01 0z"},
	}
	var b strings.Builder
	b.WriteString(`<svg class="symbols" aria-hidden="true">`)
	for _, s := range shapes {
		fmt.Fprintf(&b, `<symbol id="page-s-%s" viewBox="0 0 16 16"><path d="%s"/></symbol>`, s.name, s.path)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// familyClass is the name of a family's colour and symbol.
func familyClass(f palladium.Family) string {
	for _, known := range palladium.Families() {
		if f == known {
			return string(f)
		}
	}
	return "other"
}

// marks is the set of families that one account shows, each with its place in a row of symbols.
type marks struct {
	Set    int // one bit for each of palladium.Families, and one for any other
	Names  string
	Places []markPlace
}

type markPlace struct {
	Family string
	X      int
}

func newMarks(es []palladium.Evidence) marks {
	known := palladium.Families()
	m := marks{}
	for _, e := range es {
		at := slices.Index(known, e.Family)
		if at < 0 {
			at = len(known)
		}
		m.Set |= 1 << at
	}
	var names []string
	for i, f := range append(known, "other") {
		if m.Set&(1<<i) != 0 {
			name, _ := familyWords(f)
			names = append(names, name)
			m.Places = append(m.Places, markPlace{string(f), 20 * i})
		}
	}
	m.Names = strings.Join(names, ", ")
	return m
}

// Count is the number of families in m.
func (m marks) Count() int { return len(m.Places) }

// marks returns the sets that occur on the page, each once: the page defines each as a symbol and its rows refer to it.
func (v *pageView) marks() []marks {
	seen := make(map[int]marks)
	for i := range v.Campaigns {
		for _, a := range v.Campaigns[i].Accounts {
			seen[a.Marks.Set] = a.Marks
		}
	}
	delete(seen, 0)
	var out []marks
	for _, set := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, seen[set])
	}
	return out
}
