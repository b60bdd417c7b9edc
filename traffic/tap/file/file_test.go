package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
)

// got is what a reading delivered.
type got struct {
	ids      []string
	accounts []string
	rejects  []palladium.Reject
	last     []Position
	stats    Stats
	err      error
}

type named struct{ id string }

func name(int) func(*palladium.Exchange, *named) {
	return func(e *palladium.Exchange, t *named) { t.id = strings.Clone(e.ID) }
}

func read(t *testing.T, o Options) *got {
	t.Helper()
	g := &got{}
	if o.Formats == nil {
		o.Formats = []dialect.Format{native.Format()}
	}
	o.Rejected = func(r palladium.Reject) { g.rejects = append(g.rejects, r) }
	g.stats, g.err = Read(t.Context(), o, name,
		func(a *palladium.Account) error { g.accounts = append(g.accounts, a.ID); return nil },
		func(b Batch[named]) error {
			for _, x := range b.Items {
				g.ids = append(g.ids, x.id)
			}
			g.last = append(g.last[:0], b.Position...)
			return nil
		})
	if g.err == nil && int64(len(g.rejects)) != g.stats.Rejected {
		t.Errorf("%d rejections told, %d counted", len(g.rejects), g.stats.Rejected)
	}
	return g
}

func start() time.Time { return time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC) }

// ex is an exchange line at sec seconds after the start.
func ex(id string, sec float64) string {
	at := start().Add(time.Duration(sec * 1e9)).Format(time.RFC3339Nano)
	return fmt.Sprintf(`{"kind":"exchange","id":%q,"time":%q,"account":"a"}`+"\n", id, at)
}

func acct(id string) string { return fmt.Sprintf(`{"kind":"account","account":%q}`+"\n", id) }

func pack(t *testing.T, how, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	switch how {
	case "gzip":
		w := gzip.NewWriter(&b)
		fmt.Fprint(w, text)
		w.Close()
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
		w.Close()
	default:
		b.WriteString(text)
	}
	return b.Bytes()
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (g *got) want(t *testing.T, ids string) {
	t.Helper()
	if g.err != nil {
		t.Error(g.err)
	}
	if s := strings.Join(g.ids, " "); s != ids {
		t.Errorf("got exchanges %s, want %s", s, ids)
	}
}

func (g *got) wantReject(t *testing.T, file string, line int64, reason string) {
	t.Helper()
	for _, r := range g.rejects {
		if filepath.Base(r.File) == file && r.Line == line && strings.Contains(r.Reason, reason) {
			return
		}
	}
	t.Errorf("no rejection of %s:%d with %q in %v", file, line, reason, g.rejects)
}

func TestDirectoryIsMergedByTime(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.jsonl", pack(t, "", ex("b0", 0)+ex("b2", 2)+acct("late")+ex("b4", 4)))
	write(t, dir, "sub/a.ndjson.gz", pack(t, "gzip", ex("a1", 1)+ex("a3", 3)+ex("a9", 9)))
	write(t, dir, "sub/c.log.zst", pack(t, "zstd", ex("c2.5", 2.5)+ex("c8", 8)))
	write(t, dir, "sub/misnamed.json", pack(t, "zstd", ex("m5", 5)))
	write(t, dir, "notes.txt", []byte("not traffic"))
	write(t, dir, ".hidden.jsonl", []byte("not traffic"))
	var before []string
	for _, workers := range []int{1, 2, 7} {
		g := read(t, Options{Paths: []string{dir}, Workers: workers})
		g.want(t, "b0 a1 b2 c2.5 a3 b4 m5 c8 a9")
		if !reflect.DeepEqual(g.accounts, []string{"late"}) || g.stats.Files != 4 || len(g.rejects) != 0 {
			t.Errorf("got %+v", g)
		}
		if before != nil && !reflect.DeepEqual(before, g.ids) {
			t.Errorf("another order with %d workers", workers)
		}
		before = g.ids
	}
}

func TestAccountsComeBeforeExchanges(t *testing.T) {
	dir := t.TempDir()
	a := write(t, dir, "1.jsonl", []byte(ex("x1", 0)+acct("a1")))
	odd := `{"account":"odd","\u006bind":"account"}` + "\n" // only the full decoder sees the kind
	b := write(t, dir, "2.jsonl", []byte(ex("x2", 1)+`{"plan":"pro","account":"a2", "kind" : "account"}`+"\n"+odd))
	var order []string
	s, err := Read(t.Context(), Options{Paths: []string{a, b, a}, Formats: []dialect.Format{native.Format()}}, name,
		func(a *palladium.Account) error { order = append(order, a.ID); return nil },
		func(b Batch[named]) error {
			for _, x := range b.Items {
				order = append(order, x.id)
			}
			return nil
		})
	if err != nil || strings.Join(order, " ") != "a1 a2 odd x1 x2" && strings.Join(order, " ") != "a1 a2 x1 x2 odd" {
		t.Errorf("got %v, %v", order, err)
	}
	if s.Accounts != 3 || s.Files != 2 {
		t.Errorf("got %+v", s)
	}
	in := strings.NewReader(acct("s1") + ex("x1", 0) + acct("s2"))
	g := read(t, Options{Paths: []string{"-"}, Stdin: in})
	g.want(t, "x1")
	if !reflect.DeepEqual(g.accounts, []string{"s1", "s2"}) {
		t.Errorf("got %v", g.accounts)
	}
}

func TestBadLinesAreSkippedOneByOne(t *testing.T) {
	dir := t.TempDir()
	text := "\xef\xbb\xbf" + ex("x1", 0) + "\n   \r\n" + "{broken\n" + ex("x1", 1) + `{"kind":"exchange","id":"q"}` + "\n" +
		"{\"kind\":\"account\",\"account\":\"\xff\"}\n" + strings.TrimSuffix(ex("x2", 2), "\n") + "\r\n" +
		`{"kind":"exchange","id":"old","time":"1999-12-31T23:59:59Z","account":"a"}` + "\n" +
		`{"kind":"exchange","id":"far","time":"2037-12-31T23:59:59Z","account":"a"}` + "\n" +
		ex("x3", 3) + `{"kind":"exchange","id":"cut`
	write(t, dir, "f.jsonl", []byte(text))
	g := read(t, Options{Paths: []string{dir}})
	g.want(t, "x1 x2 x3")
	g.wantReject(t, "f.jsonl", 4, "invalid JSON at byte 1")
	g.wantReject(t, "f.jsonl", 5, "duplicate id")
	g.wantReject(t, "f.jsonl", 6, `missing field "time"`)
	g.wantReject(t, "f.jsonl", 7, "invalid UTF-8 at byte 29")
	g.wantReject(t, "f.jsonl", 9, "before the year 2000")
	g.wantReject(t, "f.jsonl", 10, "11 years after")
	g.wantReject(t, "f.jsonl", 12, "the file may be incomplete")
	if len(g.rejects) != 7 || g.stats.Duplicates != 1 {
		t.Errorf("got %v", g.rejects)
	}
}

func TestLongLines(t *testing.T) {
	long := func(n int) string { return `{"kind":"account","account":"` + strings.Repeat("x", n) + "\"}\n" }
	fits := long(dialect.MaxLine - len(long(0)) + 1)
	if len(fits) != dialect.MaxLine+1 {
		t.Fatal(len(fits))
	}
	dir := t.TempDir()
	write(t, dir, "f.jsonl", []byte(ex("x1", 0)+long(dialect.MaxLine)+ex("x2", 1)+fits+long(3*dialect.MaxLine)+ex("x3", 2)+strings.TrimSpace(long(dialect.MaxLine))))
	g := read(t, Options{Paths: []string{dir}})
	g.want(t, "x1 x2 x3")
	for _, line := range []int64{2, 5, 7} {
		g.wantReject(t, "f.jsonl", line, "line longer than 16 MiB")
	}
	if len(g.rejects) != 3 || len(g.accounts) != 1 {
		t.Errorf("got %v and %d accounts", g.rejects, len(g.accounts))
	}
}

func TestDamagedFilesGiveWhatTheyHave(t *testing.T) {
	var text strings.Builder
	for i := range 3000 {
		text.WriteString(ex(fmt.Sprintf("x%d-%d", i, i*i*7919), float64(i)))
	}
	for _, how := range []string{"gzip", "zstd"} {
		dir := t.TempDir()
		whole := pack(t, how, text.String())
		write(t, dir, "a.jsonl.gz", whole[:len(whole)*2/3])
		write(t, dir, "b.jsonl", []byte(ex("fine", 1e6)))
		g := read(t, Options{Paths: []string{dir}})
		n := len(g.ids) - 1
		if g.err != nil || n < 0 || (how == "gzip" && n < 500) || g.ids[n] != "fine" {
			t.Errorf("%s: got %d exchanges, %v", how, n, g.err)
		}
		g.wantReject(t, "a.jsonl.gz", 0, fmt.Sprintf("truncated %s stream after line %d: copy the file again", how, n))

		damaged := bytes.Clone(whole)
		damaged[len(damaged)-3] ^= 0x55 // in the checksum or length of gzip, in the last block of zstd
		write(t, dir, "a.jsonl.gz", damaged)
		g = read(t, Options{Paths: []string{dir}})
		g.wantReject(t, "a.jsonl.gz", 0, "damaged "+how+" stream")
	}
	dir := t.TempDir()
	write(t, dir, "a.gz", []byte{0x1f, 0x8b, 8})
	g := read(t, Options{Paths: []string{filepath.Join(dir, "a.gz")}})
	g.wantReject(t, "a.gz", 0, "copy the file again")
}

func TestClocks(t *testing.T) {
	dir := t.TempDir()
	day := 86400.0
	write(t, dir, "a.jsonl", []byte(ex("a0", 0)+ex("glitch", 300*day)+ex("a2", 2)+ex("late", -2*day)+ex("a4", 4)+ex("a3", 3)+ex("a8", 8)))
	write(t, dir, "b.jsonl", []byte(ex("b1", 1)+ex("b5", 5)+ex("b9", 9)))
	g := read(t, Options{Paths: []string{dir}})
	g.want(t, "a0 b1 glitch a2 late a4 a3 b5 a8 b9")
	if g.stats.OutOfOrder != 1 {
		t.Errorf("got %+v", g.stats)
	}
	g = read(t, Options{Paths: []string{dir}, Since: start().Add(2 * time.Second), Until: start().Add(5 * time.Second)})
	g.want(t, "a2 a4 a3")
	if g.stats.Filtered != 7 {
		t.Errorf("got %+v", g.stats)
	}
}

func TestOptionsAndPathsThatCannotWork(t *testing.T) {
	for _, o := range []Options{
		{Paths: []string{filepath.Join(t.TempDir(), "absent.jsonl")}},
		{Paths: []string{"."}, Dialect: "morse"},
	} {
		if g := read(t, o); g.err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
	if _, err := Read(t.Context(), Options{}, name, nil, nil); err == nil {
		t.Error("no error without formats")
	}
}

func TestErrorsOfTheCallerEndTheReading(t *testing.T) {
	stop := errors.New("stop")
	var text strings.Builder
	for i := range 20000 {
		text.WriteString(ex(fmt.Sprint("x", i), float64(i)))
	}
	path := write(t, t.TempDir(), "f.jsonl", []byte(acct("a")+text.String()))
	o := Options{Paths: []string{path}, Formats: []dialect.Format{native.Format()}}
	fine := func(*palladium.Account) error { return nil }
	if _, err := Read(t.Context(), o, name, fine, func(Batch[named]) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if _, err := Read(t.Context(), o, name, func(*palladium.Account) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Read(ctx, o, name, fine, func(Batch[named]) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
