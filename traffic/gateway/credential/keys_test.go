package credential

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/lines"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func newKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := OpenKeys(filepath.Join(t.TempDir(), "keys.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func create(t testing.TB, k *Keys, g Grant) (*Key, Secret) {
	t.Helper()
	key, secret, err := k.Create(noon(), rand.Reader, g, time.Time{}, "")
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func TestSecretForm(t *testing.T) {
	form := regexp.MustCompile(`^pal_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 200 {
		id, err := newID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSecret(rand.Reader, id)
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(s.Reveal()) || s.ID() != id || seen[s.Reveal()] {
			t.Fatalf("key of id %s has the wrong form, or came twice", id)
		}
		seen[s.Reveal()] = true
		back, err := ParseSecret(s.Reveal())
		if err != nil || back != s {
			t.Fatal("a key is not read as it was made")
		}
		for _, at := range []int{0, 5, 20, 40, 61, 65} { // one wrong character is noticed offline
			b := []byte(s.Reveal())
			if b[at] == 'x' {
				continue
			}
			b[at] = 'x'
			if _, err := ParseSecret(string(b)); !errors.Is(err, ErrForm) {
				t.Fatalf("a key with a wrong character at %d is taken for one", at)
			}
		}
	}
	if _, err := newSecret(strings.NewReader("too little"), "abc"); err == nil {
		t.Fatal("a key was drawn from too little chance")
	}
	for _, text := range []string{"", "pal_", "sk-abc", strings.Repeat("é", 33), strings.Repeat("a", textSize)} {
		if _, err := ParseSecret(text); !errors.Is(err, ErrForm) {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

// No way of writing a secret, a key, an error or the file shows it.
func TestSecretNeverShows(t *testing.T) {
	k := newKeys(t)
	key, secret := create(t, k, Grant{Account: "a"})
	rotated, second, err := k.Rotate(noon(), rand.Reader, key.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("made", "secret", secret, "key", key, "in", struct{ S Secret }{secret}, "pointer", &secret)
	slog.New(slog.NewTextHandler(&out, nil)).Info("made", "secret", secret, "key", rotated, "all", []any{secret, second})
	for _, v := range []any{secret, &secret, key, rotated, []Secret{secret, second}, struct{ S Secret }{second}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	broken := []byte(secret.Reveal())
	broken[len(broken)-1] ^= 1
	for _, text := range []string{string(broken), secret.Reveal() + "x", strings.Replace(secret.Reveal(), key.ID, strings.Repeat("0", idSize), 1)} {
		_, err := k.Find(text, noon())
		fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
	}
	if _, err := k.Revoke(noon(), key.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	_, err = k.Find(secret.Reveal(), noon())
	fmt.Fprintf(&out, "%v\n", err)
	file, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	out.Write(file)
	for _, s := range []Secret{secret, second} {
		body := s.Reveal()[len(prefix)+idSize+1:]
		if at := strings.Index(out.String(), body[:12]); at >= 0 {
			t.Fatalf("a secret shows: …%s…", out.String()[max(0, at-80):at])
		}
	}
	if !strings.Contains(out.String(), "pal_"+key.ID+"_[hidden]") {
		t.Fatal("the public part does not show")
	}
}

func TestFind(t *testing.T) {
	k := newKeys(t)
	g := Grant{Account: "acme", Organization: "inc", Plan: "pro", Models: []string{"gpt-*"}, Budgets: []string{"lab"}, RequestsPerMinute: 5, TokensPerMinute: 9}
	key, secret, err := k.Create(noon(), rand.Reader, g, noon().Add(time.Hour), "note")
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.Find(secret.Reveal(), noon())
	if err != nil || c.Account != "acme" || c.Organization != "inc" || c.Plan != "pro" || c.Credential != key.ID || c.Kind != "key" ||
		!c.Scopes.Model("gpt-5") || c.Scopes.Model("o3") || c.Rate != (gateway.Rate{Requests: 5, Tokens: 9}) || c.Budgets[0] != "lab" || !c.Expires.Equal(noon().Add(time.Hour)) {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := k.Find(secret.Reveal(), noon().Add(time.Hour)); !errors.Is(err, gateway.ErrExpired) {
		t.Errorf("an expired key: %v", err)
	}
	_, other := create(t, k, Grant{Account: "b"})
	id, _ := newID(rand.Reader)
	stranger, _ := newSecret(rand.Reader, id)
	swapped, _ := newSecret(rand.Reader, key.ID) // the right id, another secret
	for name, s := range map[string]Secret{"unknown id": stranger, "known id, wrong secret": swapped} {
		if _, err := k.Find(s.Reveal(), noon()); !errors.Is(err, gateway.ErrCredential) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Revoke(noon(), key.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Find(secret.Reveal(), noon()); !errors.Is(err, gateway.ErrRevoked) {
		t.Errorf("a revoked key: %v", err)
	}
	if _, err := k.Find(swapped.Reveal(), noon()); !errors.Is(err, gateway.ErrCredential) {
		t.Errorf("without its secret a revoked key tells that it is: %v", err)
	}
	if _, err := k.Find(other.Reveal(), noon()); err != nil {
		t.Errorf("another key went with it: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Find(other.Reveal(), noon()) }); n > 3 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func TestRotate(t *testing.T) {
	k := newKeys(t)
	key, first := create(t, k, Grant{Account: "a"})
	_, second, err := k.Rotate(noon(), rand.Reader, key.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	good := func(s Secret, at time.Time) bool { _, err := k.Find(s.Reveal(), at); return err == nil }
	if !good(first, noon().Add(59*time.Minute)) || good(first, noon().Add(time.Hour)) || !good(second, noon().Add(1000*time.Hour)) {
		t.Fatal("the overlap is not an hour")
	}
	_, third, err := k.Rotate(noon().Add(time.Minute), rand.Reader, key.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if good(first, noon().Add(2*time.Minute)) || good(second, noon().Add(2*time.Minute)) || !good(third, noon().Add(2*time.Minute)) {
		t.Fatal("without overlap an old secret is still good")
	}
	if _, err := k.Revoke(noon(), key.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Rotate(noon(), rand.Reader, key.ID, 0); !errors.Is(err, ErrEnded) {
		t.Fatalf("a revoked key was rotated: %v", err)
	}
	if _, _, err := k.Rotate(noon(), rand.Reader, "absent", 0); !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("an unknown key was rotated: %v", err)
	}
}

func TestFileModes(t *testing.T) {
	k := newKeys(t)
	create(t, k, Grant{Account: "a"})
	info, err := os.Stat(k.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file's mode is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(k.Path(), 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(k.Path()); !errors.Is(err, lines.ErrOpenToOthers) {
		t.Fatalf("a file that a group may write to: %v", err)
	}
}

// A revocation by another process reaches a gateway within 100 ms.
func TestRevocationReaches(t *testing.T) {
	cli := newKeys(t)
	var made []*Key
	var secrets []Secret
	for range 5 {
		key, s := create(t, cli, Grant{Account: "a"})
		made, secrets = append(made, key), append(secrets, s)
	}
	gate, err := OpenKeys(cli.Path())
	if err != nil {
		t.Fatal(err)
	}
	gate.Watch(t.Context(), nil)
	var slowest time.Duration
	for i, key := range made {
		if _, err := gate.Find(secrets[i].Reveal(), noon()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := cli.Revoke(noon(), key.ID, "leaked"); err != nil {
			t.Fatal(err)
		}
		wrote := time.Now()
		for {
			if _, err := gate.Find(secrets[i].Reveal(), noon()); err != nil {
				break
			}
			if time.Since(start) > 5*time.Second {
				t.Fatal("the revocation never arrived")
			}
			time.Sleep(time.Millisecond)
		}
		slowest = max(slowest, time.Since(wrote))
	}
	t.Logf("slowest of %d revocations: %s after the command returned", len(made), slowest)
	if slowest > 100*time.Millisecond && os.Getenv("CI_SLOW") == "" && !testing.Short() {
		t.Errorf("a revocation took %s, more than 100 ms", slowest)
	}
	_, s := create(t, cli, Grant{Account: "new"})
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := gate.Find(s.Reveal(), noon()); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal("a new key never arrived")
		}
	}
}

// A file that is put in place whole drops what it does not hold; one that cannot be read changes nothing; a line that
// cannot be read hides no revocation after it.
func TestReload(t *testing.T) {
	k := newKeys(t)
	one, s1 := create(t, k, Grant{Account: "one"})
	_, s2 := create(t, k, Grant{Account: "two"})
	good := func(s Secret) bool { _, err := k.Find(s.Reveal(), noon()); return err == nil }
	data, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(data string) {
		t.Helper()
		next := k.Path() + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(data), 0o600), os.Rename(next, k.Path())); err != nil {
			t.Fatal(err)
		}
	}
	firstLine, _, _ := strings.Cut(string(data), "\n")
	replace(firstLine + "\n")
	if err := k.Reload(); err != nil || !good(s1) || good(s2) || k.Len() != 1 {
		t.Fatalf("after a whole new file: %v, %v, %v", err, good(s1), good(s2))
	}
	if err := os.Remove(k.Path()); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(); err == nil || k.Err() == nil || !good(s1) {
		t.Fatalf("a file that is gone took the keys with it: %v", err)
	}
	revoked, _ := json.Marshal(&Key{ID: one.ID, Grant: one.Grant, Created: one.Created, Revoked: noon()})
	replace(string(data) + "{\"id\":\"new\",\"account\":\"a\",\"kind\":\"of a later version\"}\n" + string(revoked) + "\n")
	if err := k.Reload(); err == nil || !strings.Contains(err.Error(), "line 3") || good(s1) || !good(s2) {
		t.Fatalf("a line that cannot be read: %v, %v, %v", err, good(s1), good(s2))
	}
	// A line without an end is not there yet.
	replace(string(data) + string(revoked))
	if err := k.Reload(); err != nil || !good(s1) {
		t.Fatalf("half a line was read: %v", err)
	}
}

func TestForeign(t *testing.T) {
	k := newKeys(t)
	id := "jwt:login.example.com:42"
	if k.Revoked(id) {
		t.Fatal("revoked before")
	}
	if _, err := k.Revoke(noon(), id, "left"); err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeys(k.Path())
	if err != nil || !k.Revoked(id) || !again.Revoked(id) {
		t.Fatalf("not revoked: %v", err)
	}
	if _, err := k.Revoke(noon(), "no-such-key", ""); !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("an unknown key was revoked: %v", err)
	}
}

// Many writers in several processes' stead: each has its own view of the file; nothing is lost, and the file is written
// whole from time to time.
func TestWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	var all sync.WaitGroup
	for range 4 {
		k, err := OpenKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for range 10 {
				key, _, err := k.Create(noon(), rand.Reader, Grant{Account: "a"}, time.Time{}, "")
				if err != nil {
					t.Error(err)
					return
				}
				for range 2 {
					if _, _, err := k.Rotate(noon(), rand.Reader, key.ID, 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	k, err := OpenKeys(path)
	if err != nil || k.Len() != 40 || len(k.List()) != 40 {
		t.Fatalf("%d keys of 40, %v", k.Len(), err)
	}
	for _, key := range k.List() {
		if key.Rotated.IsZero() {
			t.Fatal("a rotation was lost")
		}
	}
	data, _ := os.ReadFile(path)
	if n := bytes.Count(data, []byte("\n")); n > 100 {
		t.Errorf("%d lines for 40 keys: the file was never written whole", n)
	}
}

// TestKill kills writers at any moment: each key that was handed out is in the file, and the file can be read.
func TestKill(t *testing.T) {
	if path := os.Getenv("KEYS_TO_FILL"); path != "" {
		k, err := OpenKeys(path)
		for err == nil {
			var s Secret
			if _, s, err = k.Create(time.Now(), rand.Reader, Grant{Account: "a"}, time.Time{}, ""); err == nil {
				_, err = fmt.Println(s.Reveal())
			}
		}
		fmt.Println("error", err)
		return
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	handed := 0
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "KEYS_TO_FILL="+path)
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(120+23*round) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		k, err := OpenKeys(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for line := range strings.Lines(out.String()) {
			if !strings.HasSuffix(line, "\n") {
				continue
			}
			if strings.HasPrefix(line, "error") {
				t.Fatal(line)
			}
			if _, err := k.Find(strings.TrimSpace(line), time.Now()); err != nil {
				t.Fatalf("round %d: a key that was handed out is not known: %v", round, err)
			}
			handed++
		}
		if k.Len() < handed {
			t.Fatalf("round %d: %d keys known, %d handed out", round, k.Len(), handed)
		}
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err == nil { // half a line of one killed in the middle
			_, _ = f.WriteString(`{"id":"half`)
			f.Close()
		}
	}
	t.Logf("%d keys handed out by processes that were killed", handed)
}

func TestGrantRefused(t *testing.T) {
	k := newKeys(t)
	for name, g := range map[string]Grant{
		"no account":       {},
		"line end":         {Account: "a\nb"},
		"long":             {Account: strings.Repeat("a", 300)},
		"not text":         {Account: "a\xff"},
		"empty model":      {Account: "a", Models: []string{""}},
		"too many budgets": {Account: "a", Budgets: strings.Fields(strings.Repeat("b ", 300))},
		"negative rate":    {Account: "a", TokensPerMinute: -1},
	} {
		if _, _, err := k.Create(noon(), rand.Reader, g, time.Time{}, ""); err == nil {
			t.Errorf("%s: a key was made", name)
		}
	}
	if _, err := os.Stat(k.Path()); err == nil {
		t.Error("a file was made for keys that were not")
	}
}

func FuzzParseKey(f *testing.F) {
	k := newKeys(f)
	key, _ := create(f, k, Grant{Account: "a", Models: []string{"*"}})
	line, _ := json.Marshal(key)
	f.Add(line)
	f.Add([]byte(`{"id":"jwt:x:1","account":"","created":"2026-01-01T00:00:00Z","revoked":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		key, err := parseKey(line)
		if err != nil {
			return
		}
		again, err := json.Marshal(key)
		if err != nil {
			t.Skip("a time that cannot be written")
		}
		if _, err := parseKey(again); err != nil {
			t.Fatalf("a key that was read is refused when written: %v", err)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add("pal_000000000000_" + strings.Repeat("0", 49))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err == nil && (s.Reveal() != text || strings.Contains(s.String(), text[20:])) {
			t.Fatal("a key shows, or is not what was read")
		}
	})
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		k := newKeys(b)
		_, secret := create(b, k, Grant{Account: "a"})
		for i := range n - 1 {
			id := strconv.Itoa(i)
			k.all.Store(id, &Key{ID: id})
		}
		text := secret.Reveal()
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Find(text, noon()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var _ gateway.Authenticator = (*Checker)(nil)
