//go:build unix

package launch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/proof/ledger"
	"github.com/palladium-guard/palladium/weights/signing"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(path, []byte(content), 0o600))
}

// model writes and signs a model, and returns options that let it load, with a command that cannot be started.
func model(t *testing.T) (dir string, o *Options, log *book) {
	t.Helper()
	base := t.TempDir()
	dir = filepath.Join(base, "m1")
	write(t, filepath.Join(dir, "config.json"), `{"layers": 2}`)
	write(t, filepath.Join(dir, "sub", "notes.json"), `{"a": 1}`)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	_, err = provenance.Sign(t.Context(), provenance.SignOptions{Model: dir, With: &provenance.KeySigner{Key: key}})
	check(t, err)
	program := filepath.Join(base, "server") // is executable and of no format: it shows that the start was tried
	write(t, program, "\x00")
	check(t, os.Chmod(program, 0o700))
	log = &book{}
	return dir, &Options{
		Command: []string{program, dir}, Ledger: log, Name: "example.com/loads",
		Verify: provenance.VerifyOptions{Trust: signing.Trust{Key: &key.PublicKey}},
	}, log
}

// book is a ledger that remembers what it was given, and does something when it is.
type book struct {
	ledger.Discard
	statements []ledger.Statement
	then       func() error
}

func (b *book) Append(ctx context.Context, s ledger.Statement) (ledger.Receipt, error) {
	if b.then != nil {
		if err := b.then(); err != nil {
			return ledger.Receipt{}, err
		}
	}
	b.statements = append(b.statements, s)
	r, err := b.Discard.Append(ctx, s)
	r.Index = uint64(len(b.statements) - 1)
	return r, err
}

func (b *book) types() string {
	var out []string
	for _, s := range b.statements {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(s.Type, "palladium/"), "/v1"))
	}
	return strings.Join(out, " ")
}

// meanwhile does something after files were verified and inspected, and before the policy is asked.
type meanwhile func()

func (m meanwhile) Grade(context.Context, *provenance.Report) (string, error) {
	m()
	return "claimed", nil
}

// A model that is changed after it was verified is not loaded, at whatever moment before the start.
func TestSwapped(t *testing.T) {
	keepTimes := func(t *testing.T, path string, change func()) {
		info, err := os.Stat(path)
		check(t, err)
		change()
		check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		says   string
		linux  bool // needs the time of change
	}{
		{"rewritten in place", func(t *testing.T, dir string) {
			keepTimes(t, filepath.Join(dir, "config.json"), func() { write(t, filepath.Join(dir, "config.json"), `{"layers": 3}`) })
		}, "config.json was changed", true},
		{"longer", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "config.json"), `{"layers": 33}`) }, "config.json was changed", false},
		{"replaced by another file", func(t *testing.T, dir string) {
			keepTimes(t, filepath.Join(dir, "config.json"), func() {
				write(t, filepath.Join(dir, "..", "new"), `{"layers": 3}`)
				check(t, os.Rename(filepath.Join(dir, "..", "new"), filepath.Join(dir, "config.json")))
			})
		}, "m1 was changed", true},
		{"removed", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "sub", "notes.json"))) }, "sub", false},
		{"added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "sub", "evil.py"), "") }, "sub", false},
		{"added to a folder that was ignored", func(t *testing.T, dir string) { write(t, filepath.Join(dir, ".git", "evil.py"), "") }, "m1", false},
		{"replaced by a link", func(t *testing.T, dir string) {
			check(t, os.Rename(filepath.Join(dir, "config.json"), filepath.Join(dir, "..", "config.json")))
			check(t, os.Symlink("../config.json", filepath.Join(dir, "config.json")))
		}, "was changed", false},
		{"another folder in its place", func(t *testing.T, dir string) {
			check(t, os.CopyFS(dir+"-evil", os.DirFS(dir)))
			check(t, os.Rename(dir, dir+"-good"))
			check(t, os.Rename(dir+"-evil", dir))
		}, "was changed", true},
		{"a link to another folder in its place", func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+"-good"))
			check(t, os.Symlink(dir+"-good", dir))
		}, "m1 was changed", false},
		{"gone", func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) }, "no such file", false},
		{"signature exchanged", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "model.sig"), "{}") }, "model.sig was changed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.linux && runtime.GOOS != "linux" {
				t.Skip("needs the time of change, which is looked at on Linux only")
			}
			dir, o, log := model(t)
			o.Lineage = meanwhile(func() { c.change(t, dir) })
			if _, err := Check(t.Context(), o); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("between check and decision: got error %v, want %q", err, c.says)
			}
			if log.types() != "" {
				t.Errorf("written to the ledger: %s", log.types())
			}

			dir, o, log = model(t)
			log.then = func() error { c.change(t, dir); log.then = nil; return nil }
			d, err := Check(t.Context(), o)
			check(t, err)
			if _, err := d.Start(t.Context()); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("between decision and start: got error %v, want %q", err, c.says)
			}
			if log.types() != "load refusal" || !strings.Contains(string(log.statements[1].Body), `"stopped":"the model changed`) {
				t.Errorf("the ledger has %s: %s", log.types(), log.statements[len(log.statements)-1].Body)
			}
		})
	}
}

// A write through a memory map that was made before the check sets no time of its own: it shows all the same.
func TestMapped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looked at on Linux only")
	}
	dir, o, _ := model(t)
	var s syscall.Statfs_t
	check(t, syscall.Statfs(dir, &s))
	if s.Type == 0x01021994 {
		t.Skip("temporary files are on a tmpfs, which sets no times for memory maps")
	}
	f, err := os.OpenFile(filepath.Join(dir, "config.json"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	text, err := syscall.Mmap(int(f.Fd()), 0, 13, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(t, err)
	defer func() { _ = syscall.Munmap(text) }()
	text[11] = '2' // the page can be written to without asking the kernel from now on
	o.Lineage = meanwhile(func() { text[11] = '7' })
	if _, err := Check(t.Context(), o); !errors.Is(err, ErrChanged) {
		t.Errorf("got error %v", err)
	}
}

// With a copy, what is checked is what the command gets, whatever happens to the original.
func TestCopied(t *testing.T) {
	dir, o, _ := model(t)
	o.Copy = t.TempDir()
	o.Lineage = meanwhile(func() { write(t, filepath.Join(dir, "config.json"), `{"layers": 666}`) })
	d, err := Check(t.Context(), o)
	check(t, err)
	copied := d.Models[0].Copied
	if d.Command[1] != copied || !strings.HasPrefix(copied, o.Copy) {
		t.Errorf("the command is %q, the copy %s", d.Command, copied)
	}
	data, err := os.ReadFile(filepath.Join(copied, "config.json"))
	if err != nil || string(data) != `{"layers": 2}` {
		t.Errorf("the copy has %q, %v", data, err)
	}
	info, err := os.Stat(filepath.Dir(copied))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can open the copy: %v, %v", info.Mode(), err)
	}
	if _, err := d.Start(t.Context()); !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("got error %v", err)
	}
	if left, _ := os.ReadDir(o.Copy); len(left) > 0 {
		t.Errorf("the copy stayed although nothing was started: %v", left)
	}

	// What was changed before it was copied is refused, and so is a model that the command cannot be given.
	if _, err := Check(t.Context(), o); !errors.Is(err, ErrRefused) {
		t.Errorf("changed before: got error %v", err)
	}
	if left, _ := os.ReadDir(o.Copy); len(left) > 0 {
		t.Errorf("a copy stayed although it was refused: %v", left)
	}
	o.Models, o.Command = []string{dir}, o.Command[:1]
	if _, err := Check(t.Context(), o); !errors.Is(err, ErrModel) {
		t.Errorf("no argument: got error %v", err)
	}
}

// The load is written down before the command is started, a load that does not come about is followed by a refusal, and
// without an entry nothing starts.
func TestLedgerFirst(t *testing.T) {
	full := errors.New("no space")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		change func(o *Options, log *book)
		start  context.Context
		check  error // of Check
		want   error // of Start
		types  string
	}{
		{"started", func(*Options, *book) {}, t.Context(), nil, syscall.ENOEXEC, "load refusal"},
		{"stopped by a signal", func(*Options, *book) {}, ended, nil, context.Canceled, "load refusal"},
		{"ledger cannot be written", func(_ *Options, log *book) { log.then = func() error { return full } }, t.Context(), full, nil, ""},
		{"no ledger", func(o *Options, _ *book) { o.Ledger = nil }, t.Context(), nil, syscall.ENOEXEC, ""},
		{"refused", func(o *Options, _ *book) {
			o.Policy = []byte("version: 1\nrules: [{name: r, require: lineage != 'none', because: b}]")
		}, t.Context(), ErrRefused, nil, "refusal"},
		{"refused, ledger cannot be written", func(o *Options, log *book) {
			o.Policy = []byte("version: 1\nrules: [{name: r, require: 'false', because: b}]")
			log.then = func() error { return full }
		}, t.Context(), full, nil, ""},
		{"policy allows what nobody signed", func(o *Options, _ *book) {
			o.Policy = []byte("version: 1\nrules: [{name: r, require: 'verdict == \"safe\"', because: b}]")
			stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			o.Verify.Trust = signing.Trust{Key: &stranger.PublicKey}
		}, t.Context(), nil, syscall.ENOEXEC, "load refusal"},
		{"bad policy", func(o *Options, _ *book) { o.Policy = []byte("version: 1") }, t.Context(), nil, nil, ""},
		{"no such command", func(o *Options, _ *book) { o.Command[0] = "/no/such/command" }, t.Context(), os.ErrNotExist, nil, ""},
		{"check only", func(o *Options, _ *book) { o.Models, o.Command = o.Command[1:], nil }, t.Context(), nil, nil, "load"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, o, log := model(t)
			c.change(o, log)
			d, err := Check(t.Context(), o)
			if c.check != nil || c.name == "bad policy" {
				if err == nil || c.check != nil && !errors.Is(err, c.check) {
					t.Errorf("check: got error %v, want %v", err, c.check)
				}
				if err == nil || d != nil && d.Load && c.types == "refusal" {
					t.Error("allowed")
				}
			} else {
				check(t, err)
				if _, err := d.Start(c.start); !errors.Is(err, c.want) {
					t.Errorf("start: got error %v, want %v", err, c.want)
				}
			}
			if log.types() != c.types {
				t.Errorf("the ledger has %q, want %q", log.types(), c.types)
			}
			for i, s := range log.statements {
				var said struct {
					Load    bool
					Program string
					Policy  string `json:"policy_sha256"`
					Stopped string
				}
				check(t, json.Unmarshal(s.Body, &said))
				if said.Load != (s.Type == ledger.TypeLoad) || len(said.Policy) != 64 || (said.Stopped != "") != (i == 1) {
					t.Errorf("statement %d of type %s: %s", i, s.Type, s.Body)
				}
			}
		})
	}
}

func TestWhichModel(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "m1/config.json", "{}")
	write(t, "m2.gguf", "GGUF")
	write(t, "serve.py", "")
	for _, c := range []struct {
		command string
		models  []string
		want    string // models; empty when it is not clear
	}{
		{"vllm serve m1", nil, "m1"},
		{"llama-server --model m2.gguf --port 80", nil, "m2.gguf"},
		{"llama-server --model=m2.gguf", nil, "m2.gguf"},
		{"vllm serve m1 --tokenizer m1", nil, "m1"},
		{"vllm serve org/model", nil, ""},
		{"python serve.py m1", nil, ""},
		{"python serve.py m1", []string{"m1"}, "m1"},
		{"vllm", nil, ""},
		{"m1", nil, ""},
		{"", nil, ""},
		{"", []string{"m1", "m2.gguf"}, "m1 m2.gguf"},
	} {
		got, err := models(&Options{Command: strings.Fields(c.command), Models: c.models})
		if strings.Join(got, " ") != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrModel) {
			t.Errorf("%q with %q: got %q, %v, want %q", c.command, c.models, got, err, c.want)
		}
	}
}

// The state of a model is taken only when the clock of its file system has moved on since its last change: else a write
// right behind it would show no other time.
func TestSettled(t *testing.T) {
	dir, _, _ := model(t)
	for range 20 {
		write(t, filepath.Join(dir, "config.json"), `{"layers": 2}`)
		before, err := settled(t.Context(), dir)
		check(t, err)
		write(t, filepath.Join(dir, "config.json"), `{"layers": 3}`)
		now, err := take(dir)
		check(t, err)
		if before.differs(now) == "" {
			t.Fatal("a write of the same size did not show")
		}
	}
	ended, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	write(t, filepath.Join(dir, "config.json"), `{"layers": 2}`)
	<-ended.Done()
	if _, err := settled(ended, dir); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
