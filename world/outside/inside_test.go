package outside

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/palladium-guard/palladium/traffic/measure"
)

func zipped(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func TestGroupingAccuracy(t *testing.T) {
	for _, c := range []struct {
		pred, truth string
		want        float64
	}{
		{"aabb", "xxyy", 1}, {"aabc", "xxyy", 0.5}, {"aaaa", "xxyy", 0}, {"aaab", "xxyy", 0}, {"abcd", "xxxx", 0}, {"abcc", "xyzz", 1},
	} {
		if got := GroupingAccuracy([]byte(c.pred), []byte(c.truth)); got != c.want {
			t.Errorf("%s against %s: %v, want %v", c.pred, c.truth, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	order := make([]int64, 1000)
	for i := range order {
		order[i] = int64(10 * i)
	}
	for _, c := range []struct {
		a, b int64
		want float64
	}{
		{100, 100, nearCap}, {0, 9990, 0}, {1000, 1990, math.Log(8)}, {1990, 1000, math.Log(8)},
	} {
		if got := near(order, c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("began at %d and %d: %v nats, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	sets := [][]uint64{{1, 2, 3}, {2, 3, 4}, {9}, {3}}
	var got []string
	overlaps(sets, func(s uint64) float64 { return float64(s) }, func(a, b uint32, both, either float64) {
		got = append(got, fmt.Sprintf("%d %d %g/%g", a, b, both, either))
	})
	slices.Sort(got)
	if want := []string{"0 1 5/10", "0 3 3/6", "1 3 3/9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Two stars and a pair of strangers who trade with a crowd's hub.
func TestHopFindsStars(t *testing.T) {
	var accounts, edges strings.Builder
	accounts.WriteString("account,first_ts,volume_usd,sybil,group\n")
	edges.WriteString("chain,from,to\n")
	for g := range 8 {
		for i := range 10 {
			fmt.Fprintf(&accounts, "s%d-%d,%d,1,1,g%d\n", g, i, 1_000_000*g+i, g)
			if i > 0 {
				fmt.Fprintf(&edges, "p,s%d-0,s%d-%d\n", g, g, i)
			}
		}
	}
	for i := range 2000 {
		fmt.Fprintf(&accounts, "k%d,%d,1,0,\n", i, 40_000*i)
		fmt.Fprintf(&edges, "x,hub,k%d\n", i)
	}
	all, err := Hop(fstest.MapFS{
		"coordinated/hop_accounts.csv.gz": zipped(t, accounts.String()), "coordinated/hop_edges.csv.gz": zipped(t, edges.String()),
	}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	res := all[0]
	if s := res.Test.Scores; s.ARI != 1 || s.Purity != 1 || s.InversePurity != 1 || s.BCubedPrecision != 1 || s.BCubedRecall != 1 {
		t.Errorf("stars are not recovered: %+v", s)
	}
	if res.KeptPulledIn != 0 || res.KeptGrouped != 0 || res.KeptAccounts != 2000 || res.Groups != 8 || res.Test.Groups != 4 {
		t.Errorf("counts are off: %+v", res)
	}
}

func TestMiningSeparatesTemplates(t *testing.T) {
	var texts, truth []string
	for i := range 30 {
		texts = append(texts, fmt.Sprintf("connection from host%d closed after timeout of %d seconds by the remote peer", i, i*7))
		texts = append(texts, fmt.Sprintf("user name%d failed to authenticate with the password database on attempt %d", i, i))
		texts = append(texts, "ok")
		truth = append(truth, "connection", "user", "ok")
	}
	label, bare := mine(measure.New([32]byte{1}, nil), texts)
	if ga := GroupingAccuracy(label, truth); ga != 1 || bare != 0 {
		t.Errorf("grouping accuracy %v, %d bare lines", ga, bare)
	}
}

func TestLinkTemplates(t *testing.T) {
	var texts, names []string
	for i := range 20 {
		w := string(rune('a' + i))
		texts = append(texts, "please read the passage below and answer the question with one word "+strings.Repeat(w+"x ", 3))
		texts = append(texts, "translate what stands here into good and simple english for children "+strings.Repeat(w+"y ", 3))
		names = append(names, "one_a", "one_b")
	}
	texts, names = append(texts, texts[0]), append(names, "one_a")
	res := linkTemplates(measure.New([32]byte{1}, nil), texts, names, 1, 1000)
	if res.Prompts != 40 || res.Duplicates != 1 || res.Templates != 2 || res.Pairs != 380 || res.NoShingle != 0 {
		t.Errorf("counts are off: %+v", *res)
	}
	if p := res.At[0]; p.Links != 380 || p.Precision != 1 || p.DatasetPrecision != 1 || p.Recall != 1 {
		t.Errorf("links are off: %+v", p)
	}
	if p := res.At[1]; p.Links != 0 || p.Recall != 0 {
		t.Errorf("a thousand nats link something: %+v", p)
	}
}

func TestBrokenFiles(t *testing.T) {
	const name = "coordinated/hop_accounts.csv.gz"
	for _, c := range []struct {
		what string
		file *fstest.MapFile
		want string
	}{
		{"not gzip", &fstest.MapFile{Data: []byte("account")}, "decompress"},
		{"no such column", zipped(t, "account,first_ts\n"), "sybil"},
		{"a ragged record", zipped(t, "account,first_ts,sybil,group\na,1\n"), "record"},
		{"a bad time", zipped(t, "account,first_ts,sybil,group\na,soon,0,\n"), "first activity"},
		{"empty", zipped(t, ""), "header"},
	} {
		if _, err := Hop(fstest.MapFS{name: c.file}, 1, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %s", c.what, err, c.want)
		}
	}
	if _, err := Hop(fstest.MapFS{}, 1, 1); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("no file: got %v", err)
	}
}

func TestDatacenters(t *testing.T) {
	const name = "reference/x4b_datacenter_asn.txt.gz"
	is, err := Datacenters(fstest.MapFS{name: zipped(t, "# list\nAS64500 # a host\n\n64501\n")})
	if err != nil || !is(64500) || !is(64501) || is(64502) {
		t.Errorf("the list is misread: %v", err)
	}
	if _, err := Datacenters(fstest.MapFS{name: zipped(t, "host\n")}); err == nil {
		t.Error("a line without a number is taken")
	}
}
