package pedigree

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/signing"
)

// bench is a folder with a store, a signer and whom one trusts.
type bench struct {
	t      *testing.T
	store  *Store
	signer *provenance.KeySigner
	trust  []signing.Trust
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Chdir(t.TempDir())
	b := &bench{t: t, store: OpenStore("")}
	b.signer, b.trust = newKey(t)
	return b
}

func newKey(t *testing.T) (*provenance.KeySigner, []signing.Trust) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return &provenance.KeySigner{Key: key}, []signing.Trust{{Key: &key.PublicKey}}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(text), 0o644))
}

func (b *bench) record(o RecordOptions) *Recorded {
	b.t.Helper()
	r, err := b.try(o)
	check(b.t, err)
	return r
}

func (b *bench) try(o RecordOptions) (*Recorded, error) {
	o.Store = b.store
	if o.With == nil {
		o.With = b.signer
	}
	if o.Observe == "" {
		o.Observe = None
	}
	return Record(context.Background(), o)
}

func (b *bench) verify(model string, change ...func(*VerifyOptions)) *lineage.Trace {
	b.t.Helper()
	o := VerifyOptions{Store: b.store, Model: model, Trust: b.trust}
	for _, f := range change {
		f(&o)
	}
	tr, err := Verify(context.Background(), o)
	check(b.t, err)
	return tr
}

func (b *bench) expect(tr *lineage.Trace, want ...lineage.Kind) {
	b.t.Helper()
	var got []lineage.Kind
	for i := range tr.Findings {
		got = append(got, tr.Findings[i].Kind)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		b.t.Errorf("found %v, not %v: %v", got, want, tr.Findings)
	}
}

func made(role lineage.Role, path string) []Declared { return []Declared{{Role: role, Path: path}} }

// house records data, base and a tuned model.
func (b *bench) house() {
	b.t.Helper()
	write(b.t, "data/a.jsonl", "{}\n{}\n")
	write(b.t, "base/w.bin", "weights")
	b.record(RecordOptions{Step: lineage.Dataset, Outputs: made(lineage.Data, "data")})
	b.record(RecordOptions{Step: lineage.Training, Inputs: made(lineage.Data, "data"), Outputs: made(lineage.Model, "base")})
	b.record(RecordOptions{Step: lineage.FineTune, Inputs: append(made(lineage.Model, "base"), made(lineage.Data, "data")...), Outputs: made(lineage.Model, "out"),
		Command: []string{"sh", "-c", "mkdir -p out && cat base/w.bin data/a.jsonl > out/w.bin"}})
}

func TestRecordAndVerify(t *testing.T) {
	b := newBench(t)
	b.house()
	tr := b.verify("out")
	b.expect(tr)
	if len(tr.Nodes) != 3 || !tr.Holds() {
		t.Errorf("%+v", tr)
	}
	b.expect(b.verify("out/w.bin")) // one file of it
	for _, format := range Formats() {
		data, err := Export(context.Background(), VerifyOptions{Store: b.store, Model: "out", Unsigned: true}, format, "test")
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// TestStoreAttacks changes the files of a store and of the model.
func TestStoreAttacks(t *testing.T) {
	stored := func(step lineage.Step, b *bench) string {
		records, err := b.store.Load(b.trust)
		check(b.t, err)
		for _, r := range records {
			if r.Statement.Step == step {
				found, _ := filepath.Glob(filepath.Join(b.store.Dir(), r.ID+"*"))
				return found[0]
			}
		}
		b.t.Fatal("no statement of " + step)
		return ""
	}
	edit := func(b *bench, path string, f func([]byte) []byte) {
		data, err := os.ReadFile(path)
		check(b.t, err)
		check(b.t, os.WriteFile(path, f(data), 0o644))
	}
	for _, c := range []struct {
		name string
		do   func(b *bench)
		want []lineage.Kind
	}{
		{"a byte of the model", func(b *bench) { write(b.t, "out/w.bin", "weightS{}\n{}\n") }, []lineage.Kind{lineage.Missing}},
		{"a file beside the model", func(b *bench) { write(b.t, "out/evil.py", "x") }, []lineage.Kind{lineage.Missing}},
		{"a statement is deleted", func(b *bench) { check(b.t, os.Remove(stored(lineage.Training, b))) }, []lineage.Kind{lineage.Lost, lineage.Missing}},
		{"a statement is cut off", func(b *bench) {
			edit(b, stored(lineage.Training, b), func(d []byte) []byte { return d[:len(d)/2] })
		}, []lineage.Kind{lineage.Forgery, lineage.Missing}},
		{"a statement is replaced by another", func(b *bench) {
			other, err := os.ReadFile(stored(lineage.Dataset, b))
			check(b.t, err)
			edit(b, stored(lineage.Training, b), func([]byte) []byte { return other })
		}, []lineage.Kind{lineage.Forgery, lineage.Missing}},
		{"the signature is another's", func(b *bench) {
			edit(b, stored(lineage.Training, b), func(d []byte) []byte {
				bundle, err := signing.ParseBundle(d)
				check(b.t, err)
				evil, _ := newKey(b.t)
				d, err = evil.Sign(context.Background(), bundle.Payload)
				check(b.t, err)
				return d
			})
		}, []lineage.Kind{lineage.NotTrusted}},
		{"the signature is damaged", func(b *bench) {
			edit(b, stored(lineage.Training, b), func(d []byte) []byte {
				bundle, err := signing.ParseBundle(d)
				check(b.t, err)
				good := base64.StdEncoding.EncodeToString(bundle.Signatures[0])
				raw := slices.Clone(bundle.Signatures[0])
				raw[len(raw)-1] ^= 1
				return bytes.Replace(d, []byte(good), []byte(base64.StdEncoding.EncodeToString(raw)), 1)
			})
		}, []lineage.Kind{lineage.Forgery, lineage.Missing}},
		{"the signature is taken off", func(b *bench) {
			path := stored(lineage.Training, b)
			data, err := os.ReadFile(path)
			check(b.t, err)
			bundle, err := signing.ParseBundle(data)
			check(b.t, err)
			check(b.t, os.Remove(path))
			_, _, err = b.store.Put(bundle.Payload)
			check(b.t, err)
		}, []lineage.Kind{lineage.NotSigned}},
		{"rubbish", func(b *bench) { write(b.t, filepath.Join(b.store.Dir(), "x.json"), "{") }, []lineage.Kind{lineage.Forgery}},
		{"a model signature is put in", func(b *bench) {
			_, err := provenance.Sign(context.Background(), provenance.SignOptions{Model: "base", With: b.signer})
			check(b.t, err)
			check(b.t, os.Rename("base/model.sig", filepath.Join(b.store.Dir(), "x.json")))
		}, []lineage.Kind{lineage.Forgery}},
		{"somebody else claims another parent", func(b *bench) {
			evil, _ := newKey(b.t)
			write(b.t, "evil/w", "evil")
			b.record(RecordOptions{Step: lineage.FineTune, With: evil, Inputs: made(lineage.Model, "evil"), Outputs: made(lineage.Model, "out")})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.house()
			b.t = t
			c.do(b)
			b.expect(b.verify("out"), c.want...)
		})
	}
}

func TestRecordTells(t *testing.T) {
	b := newBench(t)
	write(t, "data/a.jsonl", "{}\n")
	write(t, "base/w", "w")
	inputs := append(made(lineage.Model, "base"), made(lineage.Data, "data")...)
	r := b.record(RecordOptions{Step: lineage.FineTune, Inputs: inputs, Outputs: made(lineage.Model, "out"),
		Command: []string{"sh", "-c", "echo x > out; echo '{}' >> data/a.jsonl; exit 7"}})
	if !r.Changed() || r.Statement.Command.Status != 7 || r.Statement.Inputs[0].Changed {
		t.Errorf("%+v", r.Statement)
	}
	tr := b.verify("out", func(o *VerifyOptions) { o.Roots = []string{"base", r.Statement.Inputs[1].Identity()} })
	b.expect(tr, lineage.Changed, lineage.Failed)

	before, _ := os.ReadDir(b.store.Dir())
	for name, o := range map[string]RecordOptions{
		"no such input":           {Step: lineage.Convert, Inputs: made(lineage.Model, "none"), Outputs: made(lineage.Model, "out")},
		"no such output":          {Step: lineage.Convert, Inputs: made(lineage.Model, "base"), Outputs: made(lineage.Model, "none"), Command: []string{"true"}},
		"no such command":         {Step: lineage.Convert, Inputs: made(lineage.Model, "base"), Outputs: made(lineage.Model, "out"), Command: []string{"./none"}},
		"no such command, traced": {Step: lineage.Convert, Inputs: made(lineage.Model, "base"), Outputs: made(lineage.Model, "out"), Command: []string{"./none"}, Observe: Auto},
	} {
		if _, err := b.try(o); err == nil {
			t.Errorf("%s: it was recorded", name)
		}
	}
	if after, _ := os.ReadDir(b.store.Dir()); len(after) != len(before) {
		t.Errorf("%d statements, not %d", len(after), len(before))
	}
}

// TestSecrets looks for a secret in what is kept.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t-value"
	got := strings.Join(redact([]string{"train", "--hub-token", secret, "--api-key=" + secret, "WANDB_API_KEY=" + secret, "https://user:" + secret + "@example.com/x", "--max-tokens", "12", "--note=" + secret},
		[]string{"MY_PASSWORD=" + secret, "HOME=/x"}), " ")
	want := "train --hub-token [hidden] --api-key=[hidden] WANDB_API_KEY=[hidden] https://user:[hidden]@example.com/x --max-tokens 12 --note=[hidden]"
	if strings.Contains(got, secret) {
		t.Errorf("%s", got)
	}
	if got != strings.Replace(want, "user:[hidden]", "[hidden]", 1) {
		t.Errorf("%s", got)
	}
	b := newBench(t)
	t.Setenv("HF_TOKEN", secret)
	write(t, "base/w", "w")
	b.record(RecordOptions{Step: lineage.Convert, Inputs: made(lineage.Model, "base"), Outputs: made(lineage.Model, "out"), Command: []string{"sh", "-c", "echo " + secret + " > out"}})
	records, err := b.store.Load(nil)
	check(t, err)
	payload, err := lineage.Encode(records[0].Statement)
	check(t, err)
	if bytes.Contains(payload, []byte(secret)) || !bytes.Contains(payload, []byte("HF_TOKEN")) {
		t.Errorf("%s", payload)
	}
}

func TestObserve(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("commands are traced on Linux alone")
	}
	b := newBench(t)
	write(t, "base/w", "w")
	write(t, "hidden.txt", "not declared")
	write(t, "hidden2.txt", "not declared either")
	r, err := b.try(RecordOptions{Step: lineage.FineTune, Observe: Trace, Inputs: made(lineage.Model, "base"), Outputs: made(lineage.Model, "out"),
		Command: []string{"sh", "-c", "mkdir out; (cat hidden.txt & wait); cat base/w hidden2.txt > out/w; echo log > log.txt; sh -c 'exit 3'; kill -USR1 $$ 2>/dev/null; exit 4"}})
	if err != nil && strings.Contains(err.Error(), errNoTrace.Error()) {
		t.Skip(err)
	}
	check(t, err)
	o := r.Statement.Observed
	var reads, writes []string
	for i := range o.Reads {
		reads = append(reads, o.Reads[i].Path)
		if len(o.Reads[i].SHA256) != 64 {
			t.Errorf("%+v", o.Reads[i])
		}
	}
	for i := range o.Writes {
		writes = append(writes, o.Writes[i].Path)
	}
	if o.Method != "ptrace" || !slices.Equal(reads, []string{"hidden.txt", "hidden2.txt"}) || !slices.Equal(writes, []string{"log.txt"}) || o.System == 0 {
		t.Errorf("%+v", o)
	}
	if status := r.Statement.Command.Status; status != 128+10 { // SIGUSR1 arrives
		t.Errorf("status %d", status)
	}
	if tr := b.verify("out", func(o *VerifyOptions) { o.Roots = []string{"base"} }); tr.Holds() {
		t.Error("a step that was killed holds")
	}
}

// tensors writes a model of one matrix.
func tensors(t *testing.T, path string, d tensor.DType, v []float32) {
	t.Helper()
	elements, size := d.Block()
	data := make([]byte, len(v)/elements*size)
	check(t, d.Encode(data, v))
	var b bytes.Buffer
	check(t, safetensors.Write(&b, nil, []safetensors.Content{{Name: "w", DType: string(d), Shape: []int64{2, int64(len(v) / 2)}, Data: data}}))
	write(t, path, b.String())
}

func TestRecompute(t *testing.T) {
	b := newBench(t)
	v := make([]float32, 64)
	for i := range v {
		v[i] = float32(i) * 0.3
	}
	tensors(t, "models/base/m.safetensors", tensor.F32, v)
	tensors(t, "models/half/m.safetensors", tensor.BF16, v)
	v[5] += 0.1
	tensors(t, "models/other/m.safetensors", tensor.BF16, v)
	cast := &lineage.Transformation{Kind: "cast", Parameters: map[string]string{"dtype": "BF16"}}
	for _, out := range []string{"models/half", "models/other"} {
		b.record(RecordOptions{Step: lineage.Convert, Transformation: cast, Inputs: made(lineage.Model, "models/base"), Outputs: made(lineage.Model, out)})
	}
	with := func(o *VerifyOptions) {
		o.Roots, o.Files, o.Require = []string{"models/base"}, []string{"models"}, lineage.Recomputed
	}
	tr := b.verify("models/half", with)
	b.expect(tr)
	if tr.Weakest() != lineage.Recomputed {
		t.Errorf("%+v", tr.Edges)
	}
	b.expect(b.verify("models/other", with), lineage.Contradict)
	b.expect(b.verify("models/half", with, func(o *VerifyOptions) { o.Files = nil }), lineage.OnlyClaim)
	measured := func(o *VerifyOptions) {
		o.Measure = func(context.Context, string, string) (lineage.Evidence, error) {
			return lineage.Evidence{Grade: lineage.Measured}, nil
		}
		o.Require = lineage.Measured
	}
	tensors(t, "models/tuned/m.safetensors", tensor.BF16, v[:32])
	b.record(RecordOptions{Step: lineage.FineTune, Inputs: made(lineage.Model, "models/base"), Outputs: made(lineage.Model, "models/tuned")})
	b.expect(b.verify("models/tuned", with, measured))
}

func TestDataset(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	write(t, "data/a.jsonl", "{}\n{}\n")
	write(t, "data/b.jsonl", "1\n2\n3\n")
	o := DatasetOptions{Paths: []string{"data"}, Manifest: "m.json", With: b.signer, Store: b.store}
	r, err := StateDataset(ctx, o)
	check(t, err)
	if a := r.Statement.Outputs[0]; a.Rows != 5 || len(a.Files) != 2 {
		t.Errorf("%+v", a)
	}
	o.Trust = b.trust
	expect := func(want ...lineage.Change) {
		t.Helper()
		report, err := VerifyDataset(ctx, o)
		check(t, err)
		var got []lineage.Change
		for _, d := range report.Differences {
			got = append(got, d.Change)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, not %v", report.Differences, want)
		}
	}
	expect()
	write(t, "data/a.jsonl", "{}\n{}\n{\"poison\":1}\n")
	expect(lineage.Appended)
	write(t, "data/a.jsonl", "{}\n")
	expect(lineage.Truncated)
	write(t, "data/a.jsonl", "1\n2\n3\n")
	write(t, "data/b.jsonl", "{}\n{}\n")
	expect(lineage.Swapped, lineage.Swapped)
	write(t, "data/a.jsonl", "{}\n{}\n")
	write(t, "data/b.jsonl", "1\n2\n4\n")
	write(t, "data/c.jsonl", "x\n")
	expect(lineage.Replaced, lineage.Added)

	o.Paths, o.Manifest = []string{"data/b.jsonl", "data/a.jsonl"}, "l.json"
	_, err = StateDataset(ctx, o)
	check(t, err)
	expect()
	o.Paths = []string{"data/a.jsonl", "data/b.jsonl"}
	expect(lineage.Reordered, lineage.Reordered)
	_, other := newKey(t)
	o.Trust = other
	if _, err := VerifyDataset(ctx, o); err == nil {
		t.Error("a manifest of somebody else's stands")
	}
	write(t, "data/d.parquet", "PAR1cut")
	if _, err := StateDataset(ctx, DatasetOptions{Paths: []string{"data"}, Store: b.store}); err == nil {
		t.Error("a damaged shard was stated")
	}
}

// TestKilled kills a program that records over and over. What it leaves is a store whose every statement stands.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("PALLADIUM_TEST_LINEAGE"); dir != "" {
		t.Chdir(dir)
		signer, _ := newKey(t)
		for i := 0; ; i++ {
			_, err := Record(context.Background(), RecordOptions{Store: OpenStore(""), Step: lineage.Dataset, Outputs: made(lineage.Data, "data"), With: signer, Note: time.Now().String()})
			check(t, err)
		}
	}
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	b := newBench(t)
	write(t, "data/a.jsonl", strings.Repeat("{}\n", 1000))
	here, err := os.Getwd()
	check(t, err)
	last := 0
	for range rounds {
		kill(t, here)
		records, err := b.store.Load(nil)
		check(t, err)
		for _, r := range records {
			if r.Standing != lineage.Unchecked {
				t.Errorf("%s is %s: %s", r.ID, r.Standing, r.Note)
			}
		}
		if len(records) < last {
			t.Errorf("%d statements after %d", len(records), last)
		}
		last = len(records)
	}
	t.Logf("killed %d times, %d statements", rounds, last)
}
