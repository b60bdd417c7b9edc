package file

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
	"github.com/palladium-guard/palladium/traffic/dialect/native"
)

// TestFilesThatBeginAlike have the same accounts at their heads, a few or more than an identity sees.
func TestFilesThatBeginAlike(t *testing.T) {
	for _, accounts := range []int{0, 1, 3000} {
		if accounts > 1 && testing.Short() {
			continue
		}
		for _, how := range []string{"", "gzip", "zstd"} {
			t.Run(fmt.Sprint(accounts, how), func(t *testing.T) {
				var head strings.Builder
				for i := range accounts {
					head.WriteString(acct(fmt.Sprintf("account-%09d", i)))
				}
				dir := t.TempDir()
				day := func(n int, more string) {
					write(t, dir, fmt.Sprintf("%d.jsonl", n), pack(t, how, head.String()+ex(fmt.Sprint("x", n), float64(n))+more))
				}
				day(1, ex("x1b", 1.5))
				g := read(t, Options{Paths: []string{dir}})
				g.want(t, "x1 x1b")
				day(2, "")
				day(3, "")
				day(4, ex("x4b", 4.5))
				g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
				g.want(t, "x2 x3 x4 x4b")
				day(2, ex("x2b", 2.5)) // compressed anew
				if err := os.Rename(filepath.Join(dir, "4.jsonl"), filepath.Join(dir, "0.jsonl")); err != nil {
					t.Fatal(err)
				}
				g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
				g.want(t, "x2b")
				if len(g.rejects) != 0 {
					t.Errorf("got %v", g.rejects)
				}
				seen := map[int]bool{}
				for _, p := range g.stats.Position {
					if p.Continues == 0 || seen[p.Continues] {
						t.Errorf("%s does not continue a position of its own", p.Path)
					}
					seen[p.Continues] = true
				}
			})
		}
	}
}

// TestRotatedFileIsCompressed goes on in a file that was plain before.
func TestRotatedFileIsCompressed(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "f.jsonl", []byte(lines(steady(2000))))
	g := read(t, Options{Paths: []string{dir}})
	write(t, dir, "f.jsonl.1.gz", pack(t, "gzip", lines(steady(2000))+ex("more", 2e6)))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	g = read(t, Options{Paths: []string{filepath.Join(dir, "f.jsonl.1.gz")}, Resume: g.stats.Position})
	g.want(t, "more")
}

// TestTinyFileIsNotInherited has two files of which the one's identity is the beginning of the other.
func TestTinyFileIsNotInherited(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jsonl", []byte(`{"kind":"account","account":"one","plan":"pro"}`+"\n"))
	g := read(t, Options{Paths: []string{dir}})
	write(t, dir, "b.jsonl", []byte(`{"kind":"account","account":"one","plan":"free"}`+"\n"+ex("x1", 1)))
	g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
	g.want(t, "x1")
	if len(g.accounts) != 1 || len(g.rejects) != 0 {
		t.Errorf("got %v, %v", g.accounts, g.rejects)
	}
}

// TestPositionsWithoutATail are those of states that were kept before there were tails.
func TestPositionsWithoutATail(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jsonl", []byte(ex("x1", 1)))
	g := read(t, Options{Paths: []string{dir}})
	g.stats.Position[0].Tail = Tail{}
	write(t, dir, "a.jsonl", []byte(ex("x1", 1)+ex("x2", 2)))
	g = read(t, Options{Paths: []string{dir}, Resume: g.stats.Position})
	g.want(t, "x2")
}

// TestAccountsWrittenMeanwhile appends account records between the look-through and the reading.
func TestAccountsWrittenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "f.jsonl", []byte(acct("before")+ex("x1", 1)))
	var accounts []string
	_, err := Read(t.Context(), Options{Paths: []string{path}, Formats: []dialect.Format{native.Format()}}, name,
		func(a *palladium.Account) error {
			if accounts = append(accounts, a.ID); a.ID != "before" {
				return nil
			}
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(acct("meanwhile") + ex("x2", 2))
			return err
		}, func(Batch[named]) error { return nil })
	if err != nil || strings.Join(accounts, " ") != "before meanwhile" {
		t.Errorf("got %v, %v", accounts, err)
	}
}

func TestJoinedFormats(t *testing.T) {
	var all []byte
	for _, f := range formats() {
		all = append(all, samples(t)[f.Name]...)
	}
	for _, stdin := range []bool{true, false} {
		o := Options{Paths: []string{"-"}, Stdin: bytes.NewReader(all), Formats: formats()}
		if !stdin {
			o.Paths = []string{write(t, t.TempDir(), "all.jsonl", all)}
		}
		g := read(t, o)
		if g.stats.Exchanges != 2+3+7 || g.stats.Accounts != 2 || len(g.rejects) != 0 {
			t.Errorf("got %+v, %v", g.stats, g.rejects)
		}
	}
}

func TestJSONThatIsNoLines(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "array.json", []byte("["+strings.TrimSpace(ex("x1", 1))+","+strings.TrimSpace(ex("x2", 1))+"]\n"))
	write(t, dir, "pretty.json", []byte("{\n  \"kind\": \"exchange\"\n}\n"))
	g := read(t, Options{Paths: []string{dir}, Formats: formats()})
	g.want(t, "")
	g.wantReject(t, "array.json", 1, "an array: write one record a line, as jq -c '.[]' does")
	g.wantReject(t, "pretty.json", 1, "JSON over several lines: write one record a line, as jq -c does")
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "logs/a b.jsonl", []byte(ex("x1", 1)))
	write(t, dir, "other.jsonl", []byte(ex("x2", 2)))
	for link, to := range map[string]string{"link": "logs", "logs/l.jsonl": "../other.jsonl", "logs/again.jsonl": "a b.jsonl", "logs/gone.jsonl": "nowhere", "logs/loop": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	g := read(t, Options{Paths: []string{filepath.Join(dir, "link")}})
	g.want(t, "x1 x2")
	g.wantReject(t, "gone.jsonl", 0, "check what it links to")
	if len(g.rejects) != 1 || g.stats.Files != 2 {
		t.Errorf("got %+v, %v", g.stats, g.rejects)
	}
}

// TestForeignFiles are told apart from damaged ones, and say what to do.
func TestForeignFiles(t *testing.T) {
	var dict bytes.Buffer
	for _, how := range []string{"gzip", "zstd"} {
		dir := t.TempDir()
		write(t, dir, "more.jsonl", append(pack(t, how, ex("x1", 1)), "there is no more of it"...))
		g := read(t, Options{Paths: []string{dir}})
		g.want(t, "x1")
		g.wantReject(t, "more.jsonl", 0, "what follows the "+how+" stream after line 1 is not "+how)
	}
	text := strings.Repeat(ex("x1", 1), 100)
	w, err := zstd.NewWriter(&dict, zstd.WithEncoderDictRaw(7, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, text)
	w.Close()
	for name, c := range map[string][2]string{
		"dict.zst":   {dict.String(), "needs a dictionary after line 0"},
		"a.jsonl":    {"BZh91AY&SY", "it is bzip2"},
		"b.jsonl":    {"\xfd7zXZ\x00", "it is xz"},
		"c.jsonl":    {"\xff\xfe{\x00", "UTF-16 text: convert it to UTF-8"},
		"d.jsonl.gz": {"PK\x03\x04", "it is zip"},
	} {
		g := read(t, Options{Paths: []string{write(t, t.TempDir(), name, []byte(c[0]))}})
		g.wantReject(t, name, 0, c[1])
	}
}
