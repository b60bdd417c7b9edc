package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
)

func jsonOf(t *testing.T, r *palladium.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fields returns the sorted keys of an object.
func fields(t *testing.T, v any) string {
	t.Helper()
	o, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%T is not an object", v)
	}
	return strings.Join(slices.Sorted(maps.Keys(o)), " ")
}

func TestJSONHoldsTheFieldsOfTheContract(t *testing.T) {
	var top map[string]any
	if err := json.Unmarshal(jsonOf(t, sample(40)), &top); err != nil {
		t.Fatal(err)
	}
	if top["schema"] != "palladium.report/v1" {
		t.Errorf("schema %v", top["schema"])
	}
	campaign := top["campaigns"].([]any)[0].(map[string]any)
	linked := top["linked"].([]any)[0].(map[string]any)
	for _, c := range []struct {
		name string
		at   any
		want string
	}{
		{"report", top, "campaigns counts linked schema window"},
		{"window", top["window"], "from to"},
		{"counts", top["counts"], "accounts exchanges rejected"},
		{"campaign", campaign, "accounts counter_evidence detected_at evidence exchanges exchanges_before_detection extraction_p first id last operator_p stage techniques tokens"},
		{"tokens", campaign["tokens"], "input output reasoning"},
		{"account", campaign["accounts"].([]any)[0], "id membership"},
		{"evidence", campaign["evidence"].([]any)[0], "accounts family says weight"},
		{"counter", campaign["counter_evidence"].([]any)[0], "says"},
		{"linked", linked, "accounts id why_not_extraction"},
		{"linked account", linked["accounts"].([]any)[0], "id membership"},
	} {
		if got := fields(t, c.at); got != c.want {
			t.Errorf("%s has the fields %s, want %s", c.name, got, c.want)
		}
	}
}

func TestJSONOrderAndTimes(t *testing.T) {
	r := sample(40)
	east := time.FixedZone("east", 5*3600)
	r.Window.From = r.Window.From.In(east)
	r.Campaigns[0].First = r.Campaigns[0].First.In(east)
	before := r.Campaigns[0].ID
	var got palladium.Report
	out := jsonOf(t, r)
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	var stages []string
	for i, c := range got.Campaigns {
		stages = append(stages, string(c.Stage))
		if i > 0 && c.Stage == got.Campaigns[i-1].Stage && c.Tokens.Output > got.Campaigns[i-1].Tokens.Output {
			t.Errorf("%s stands after a campaign that drew less", c.ID)
		}
		if !slices.IsSortedFunc(c.Accounts, func(a, b palladium.Member) int { return int(math.Copysign(1, b.Membership-a.Membership)) }) {
			t.Errorf("the accounts of %s are not in the order of membership", c.ID)
		}
	}
	if want := "act review watch watch"; strings.Join(stages, " ") != want {
		t.Errorf("stages %v, want %s", stages, want)
	}
	if bytes.Contains(out, []byte("+05:00")) || !bytes.Contains(out, []byte(`"from": "2026-05-01T00:00:00Z"`)) {
		t.Error("times are not in UTC")
	}
	if r.Campaigns[0].ID != before || r.Campaigns[0].First.Location() != east {
		t.Error("the report was changed by writing it")
	}
	slices.Reverse(r.Campaigns)
	slices.Reverse(r.Linked)
	for i := range r.Campaigns {
		slices.Reverse(r.Campaigns[i].Accounts)
		slices.Reverse(r.Campaigns[i].Evidence)
	}
	if !bytes.Equal(out, jsonOf(t, r)) {
		t.Error("the order of the output follows the order of the input")
	}
}

func TestJSONOfNothing(t *testing.T) {
	out := string(jsonOf(t, &palladium.Report{}))
	if strings.Contains(out, "null") {
		t.Errorf("an empty list is null:\n%s", out)
	}
	one := &palladium.Report{Campaigns: []palladium.Campaign{{ID: "c", Stage: palladium.StageWatch}}, Linked: []palladium.Linked{{ID: "l"}}}
	out = string(jsonOf(t, one))
	if n := strings.Count(out, "null"); n != 1 || !strings.Contains(out, `"detected_at": null`) {
		t.Errorf("want one null, that of detected_at:\n%s", out)
	}
}

func TestJSONKeepsHostileIDs(t *testing.T) {
	out := jsonOf(t, sample(40))
	for _, r := range string(out) {
		if r != '\n' && (r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e) {
			t.Fatalf("the output holds %U, which a terminal acts on", r)
		}
	}
	var got palladium.Report
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, a := range got.Campaigns[0].Accounts {
		ids[a.ID] = true
	}
	for _, id := range hostileIDs() {
		if !ids[strings.ToValidUTF8(id, "\ufffd")] && !strings.HasPrefix(id, "bad") {
			t.Errorf("%q was changed", id)
		}
	}
}

func TestJSONRefusesWhatItCannotCarry(t *testing.T) {
	r := sample(40)
	r.Campaigns[1].ExtractionP = math.NaN()
	var b bytes.Buffer
	err := JSON(&b, r)
	if err == nil || !strings.Contains(err.Error(), r.Campaigns[1].ID) || b.Len() > 0 {
		t.Errorf("error %v after %d bytes", err, b.Len())
	}
}

// full is a writer that takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWritersReturnTheirError(t *testing.T) {
	r := sample(20)
	for name, err := range map[string]error{
		"JSON": JSON(full{}, r), "Text": Text(full{}, r, Options{}), "Explain": Explain(full{}, r, "c-7", Options{}), "HTML": HTML(full{}, r, Meta{}),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s returned %v", name, err)
		}
	}
}

func TestSameReportSameBytes(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer, *palladium.Report) error{
		"JSON":    func(b *bytes.Buffer, r *palladium.Report) error { return JSON(b, r) },
		"Text":    func(b *bytes.Buffer, r *palladium.Report) error { return Text(b, r, Options{Color: true}) },
		"Explain": func(b *bytes.Buffer, r *palladium.Report) error { return Explain(b, r, "c-7f", Options{}) },
		"HTML":    func(b *bytes.Buffer, r *palladium.Report) error { return HTML(b, r, Meta{Version: "1"}) },
	} {
		var first bytes.Buffer
		for range 3 {
			var b bytes.Buffer
			if err := write(&b, sample(200)); err != nil {
				t.Fatal(err)
			}
			if first.Len() == 0 {
				first = b
			} else if !bytes.Equal(first.Bytes(), b.Bytes()) {
				t.Errorf("%s differs from one time to the next", name)
			}
		}
	}
}

func TestNumbers(t *testing.T) {
	plain := func(s string) string { return strings.ReplaceAll(s, nb, " ") }
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1234567), "1,234,567"}, {count(-1234), "-1,234"}, {count(100000), "100,000"},
		{short(412118), "412,118"}, {short(31e6), "31.0 M"}, {short(999_949_999), "999.9 M"}, {short(999_960_000), "1.00 B"}, {short(1_234e6), "1.23 B"},
		{percent(0), "0 %"}, {percent(1e-9), "<0.1 %"}, {percent(0.024), "2.4 %"}, {percent(0.5), "50 %"}, {percent(0.97), "97 %"},
		{percent(0.994), "99.4 %"}, {percent(0.99999), ">99.9 %"}, {percent(1), "100 %"}, {percent(math.NaN()), "unknown"},
		{oneIn(3.3e-7), "1 in 3 million"}, {oneIn(1e-4), "1 in 10,000"}, {oneIn(0.05), "1 in 20"}, {oneIn(1e-9), "1 in 1 billion"}, {oneIn(1e-20), "1 in 10²⁰"},
		{oneIn(0.31), "3 in 10"}, {oneIn(1), "nearly every time"}, {oneIn(2.5e-5), "1 in 40,000"}, {oneIn(9.99e-7), "1 in 1 million"}, {oneIn(math.NaN()), "unknown"},
		{power(2.5e12), "2.5 × 10¹²"}, {power(1e25), "10²⁵"}, {power(12.34), "12.3"}, {power(4000), "4,000"}, {power(3e-7), "3 × 10⁻⁷"},
		{measure(0.97), "0.97"}, {measure(41234.4), "41,200"}, {measure(0.004), "0.004"}, {measure(-3.14159), "-3.14"}, {measure(math.NaN()), "unknown"},
		{ratio(6.9), "990×"}, {ratio(0), "1×"}, {ratio(-1), "0.4×"}, {ratio(10), "22,000×"},
		{plural(1, "account"), "1 account"}, {plural(1200, "account"), "1,200 accounts"},
		{span(28 * 24 * time.Hour), "28 days"}, {span(20 * time.Hour), "20 hours"}, {span(time.Hour), "1 hour"}, {span(24 * time.Hour), "1 day"}, {span(80 * time.Minute), "80 minutes"}, {span(-1), "0 seconds"},
		{often(0.9), "9 times in 10: this says little"}, {often(0.18), "2 times in 10"}, {often(1e-3), "1 time in 1,000"}, {often(1), "nearly every time: this says little"}, {often(0), "less than 1 time in 1.8 × 10³⁰⁸"},
		{shellWord("c-7f3a91"), "c-7f3a91"}, {shellWord("a'; rm -rf /"), `'a'\''; rm -rf /'`}, {shellWord(""), "''"},
	} {
		if plain(c.got) != c.want {
			t.Errorf("got %q, want %q", plain(c.got), c.want)
		}
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"acct-1", "acct-1"}, {"", "(no name)"}, {"\x1b[31m", `\x1b[31m`}, {"a\u202eb", `a\u202eb`}, {"a\u200bb", `a\u200bb`}, {"\xff", `\xff`},
		{"a\nb", `a\nb`}, {"שלום", "שלום"}, {"\u009b", `\u009b`}, {"a\U000e0041", `a\U000e0041`},
	} {
		if got := label(c.in, 40); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.in, got, c.want)
		}
	}
	if got := []rune(label(strings.Repeat("x", 500), 40)); len(got) != 40 {
		t.Errorf("a long id has %d runes, want 40", len(got))
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range hostileIDs() {
		f.Add(s, 40)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		out := label(s, limit)
		for _, r := range out {
			if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfffd && !strings.ContainsRune(s, 0xfffd) {
				t.Fatalf("%q is shown with %U", s, r)
			}
		}
		if limit > 8 && len([]rune(out)) > max(limit, len("(no name)")) {
			t.Fatalf("%q is shown in %d runes, limit %d", s, len([]rune(out)), limit)
		}
	})
}

func TestEvidenceOrderIsThatOfTheFamilies(t *testing.T) {
	var es []palladium.Evidence
	for _, f := range palladium.Families() {
		es = append(es, palladium.Evidence{Family: f})
	}
	es = append(es, palladium.Evidence{Family: "new"})
	back := slices.Clone(es)
	slices.Reverse(back)
	if got := orderEvidence(back); !reflect.DeepEqual(got, es) {
		t.Errorf("got %v", got)
	}
	for _, e := range es[:8] {
		if name, gloss := familyWords(e.Family); name == string(e.Family) || strings.Contains(gloss, "no description") {
			t.Errorf("%s has no words of its own", e.Family)
		}
	}
}
