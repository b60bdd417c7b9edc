package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
)

func TestPowerWords(t *testing.T) {
	for logP, want := range map[float64]string{math.Log(0.25): "0.250", -1000 * math.Ln10: "1.0e-1000", math.Log(2e-7): "2.0e-7"} {
		if got := Power(logP); got != want {
			t.Errorf("p-value %v is written %s, want %s", logP, got, want)
		}
	}
}

// The closed form of mean and variance agrees with dealing columns by lot.
func TestInPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	const n, m = 20, 30
	like := make([]float32, n*m)
	for i := range like {
		like[i] = rng.Float32() + float32(i%m)*0.03
	}
	var sum, squares float64
	for range 4000 {
		z := inPlace(like, rng.Perm(m)[:n], m)
		sum += z
		squares += z * z
	}
	mean := sum / 4000
	if sd := math.Sqrt(squares/4000 - mean*mean); math.Abs(mean) > 0.06 || math.Abs(sd-1) > 0.04 {
		t.Errorf("mean %.3f, standard deviation %.3f; want 0 and 1", mean, sd)
	}
}

func TestUnbiasedAlignment(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	random := func() *gram {
		w := make([]float32, 400*40)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		list := []stored{{"x", 400, 40, w}}
		m := open(t, files(t, list, tensor.F32, 1))
		g, err := gramOf(&matrix{t: &m.Tensors[0], out: 400, in: 40}, up, span(0, 40), nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	sum := 0.0
	a := random()
	for range 50 {
		sum += a.agreement(random(), nil)
	}
	if mean := sum / 50; math.Abs(mean) > 0.02 {
		t.Errorf("random matrices agree by %.3f on average", mean)
	}
	if self := a.agreement(a, nil); math.Abs(self-1) > 1e-4 {
		t.Errorf("a matrix agrees with itself by %v", self)
	}
}

// Names of different libraries, with matrices stored the other way round, fused and split among experts.
func TestNames(t *testing.T) {
	const d, f, v = 32, 64, 96
	rng := rand.New(rand.NewPCG(6, 7))
	for name, c := range map[string]struct {
		list []string // name of a matrix, with rows and columns
		want map[kind][2]int
		n    int
	}{
		"gguf": {[]string{"token_embd.weight 96 32", "blk.%d.attn_q.weight 32 32", "blk.%d.attn_k.weight 16 32", "blk.%d.attn_v.weight 16 32",
			"blk.%d.attn_output.weight 32 32", "blk.%d.ffn_gate.weight 64 32", "blk.%d.ffn_up.weight 64 32", "blk.%d.ffn_down.weight 32 64", "output.weight 96 32"},
			map[kind][2]int{query: {d, d}, key: {16, d}, value: {16, d}, output: {d, d}, gate: {f, d}, up: {f, d}, down: {d, f}}, 2},
		"gpt2": {[]string{"wte.weight 96 32", "h.%d.attn.c_attn.weight 32 96", "h.%d.attn.c_proj.weight 32 32", "h.%d.mlp.c_fc.weight 32 64", "h.%d.mlp.c_proj.weight 64 32"},
			map[kind][2]int{fused: {96, d}, output: {d, d}, up: {f, d}, down: {d, f}}, 2},
		"phi": {[]string{"model.embed_tokens.weight 96 32", "model.layers.%d.self_attn.qkv_proj.weight 96 32", "model.layers.%d.self_attn.o_proj.weight 32 32",
			"model.layers.%d.mlp.gate_up_proj.weight 128 32", "model.layers.%d.mlp.down_proj.weight 32 64"},
			map[kind][2]int{fused: {96, d}, output: {d, d}, gate: {f, d}, up: {f, d}, down: {d, f}}, 2},
		"experts": {[]string{"model.embed_tokens.weight 96 32", "model.layers.%d.self_attn.q_proj.weight 32 32", "model.layers.%d.self_attn.k_proj.weight 32 32",
			"model.layers.%d.block_sparse_moe.experts.0.w1.weight 64 32", "model.layers.%d.block_sparse_moe.experts.0.w2.weight 32 64", "model.layers.%d.block_sparse_moe.experts.0.w3.weight 64 32",
			"model.layers.%d.block_sparse_moe.experts.1.w1.weight 64 32", "model.layers.%d.block_sparse_moe.experts.1.w2.weight 32 64", "model.layers.%d.block_sparse_moe.experts.1.w3.weight 64 32",
			"model.layers.%d.block_sparse_moe.gate.weight 8 32"},
			map[kind][2]int{query: {d, d}, key: {d, d}, gate: {f, d}, up: {f, d}, down: {d, f}}, 4},
		"bert": {[]string{"bert.embeddings.word_embeddings.weight 96 32", "bert.encoder.layer.%d.attention.self.query.weight 32 32", "bert.encoder.layer.%d.attention.self.key.weight 32 32",
			"bert.encoder.layer.%d.attention.output.dense.weight 32 32", "bert.encoder.layer.%d.intermediate.dense.weight 64 32", "bert.encoder.layer.%d.output.dense.weight 32 64"},
			map[kind][2]int{query: {d, d}, key: {d, d}, output: {d, d}, up: {f, d}, down: {d, f}}, 2},
	} {
		var list []stored
		add := func(spec string) {
			var s stored
			if _, err := fmt.Sscanf(spec, "%s %d %d", &s.name, &s.out, &s.in); err != nil {
				t.Fatal(err)
			}
			s.w = make([]float32, s.out*s.in)
			for i := range s.w {
				s.w[i] = rng.Float32()
			}
			list = append(list, s)
		}
		for _, spec := range c.list {
			if !bytes.Contains([]byte(spec), []byte("%d")) {
				add(spec)
				continue
			}
			for i := range 2 {
				add(fmt.Sprintf(spec, i))
			}
		}
		m := open(t, files(t, list, tensor.F32, 1))
		if !m.named || m.hidden != d || len(m.layers) != c.n || len(m.embeds) != 1 || m.embeds[0].out != v {
			t.Errorf("%s: named %v, hidden %d, %d layers, %d embeddings", name, m.named, m.hidden, len(m.layers), len(m.embeds))
			continue
		}
		got := map[kind][2]int{}
		for k, x := range m.layers[0].parts {
			got[k] = [2]int{x.out, x.in}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: parts %v, want %v", name, got, c.want)
		}
	}
}

// Query, key and value in one, and gate and up in one, are compared with those that are stored apart; a vocabulary in
// another order is put right by its tokens.
func TestOtherLayouts(t *testing.T) {
	base := trained(1, 60)
	var list []stored
	rng := rand.New(rand.NewPCG(3, 3))
	order := rng.Perm(tinyVocab)
	vocab, shuffled := make([]string, tinyVocab), make([]string, tinyVocab)
	c := base.clone()
	c.embed.rows(order)
	for i := range vocab {
		vocab[i] = fmt.Sprintf("token %d", i)
	}
	for i, o := range order {
		shuffled[i] = vocab[o]
	}
	list = append(list, stored{"model.embed_tokens.weight", tinyVocab, tinyHidden, c.embed.w})
	for i := range c.blocks {
		b := &c.blocks[i]
		at := fmt.Sprintf("model.layers.%d.", i)
		join := func(ps ...*param) (w []float32) {
			for _, p := range ps {
				w = append(w, p.w...)
			}
			return w
		}
		list = append(list, stored{at + "self_attn.qkv_proj.weight", 3 * tinyHidden, tinyHidden, join(b.q, b.k, b.v)},
			stored{at + "mlp.gate_up_proj.weight", 2 * tinyNeurons, tinyHidden, join(b.gate, b.up)},
			stored{at + "mlp.down_proj.weight", tinyHidden, tinyNeurons, b.down.w})
	}
	a, b := base.model(t), open(t, files(t, list, tensor.F32, 1))
	a.Vocab, b.Vocab = vocab, shuffled
	r := compared(t, a, b)
	if r.Relation != Derived || r.Attention.Score < 0.99 || r.Independence.Matched.Correlation < 0.99 || r.Alignment.Common != "by name" {
		t.Errorf("%s\n%s", r.Relation, r.Text())
	}
}

func TestParseVocabulary(t *testing.T) {
	for in, want := range map[string][]string{
		`{"model":{"vocab":{"a":0,"b":2}},"added_tokens":[{"id":3,"content":"<s>"}]}`: {"a", "", "b", "<s>"},
		`{"model":{"vocab":[["a",-1.5],["b",0]]}}`:                                    {"a", "b"},
		`{"model":{"vocab":{"a":-1}}}`:                                                nil,
		`{"model":{"vocab":{"a":1000000000}}}`:                                        nil,
		`{"model":{"vocab":[["a"]]}}`:                                                 nil,
		`{"model":{}}`:                                                                nil,
		`{`:                                                                           nil,
	} {
		got, err := ParseVocabulary([]byte(in))
		if !reflect.DeepEqual(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	m := newLLM(1, tinyHidden, tinyNeurons, 1, tinyVocab)
	s := files(t, m.tensors(), tensor.F32, 1)
	if _, err := Open([]Source{s[0], s[0]}, nil); err == nil {
		t.Error("a tensor that is there twice is accepted")
	}
	if _, err := Open([]Source{{Name: "x", Data: bytes.NewReader([]byte("PK\x03\x04 something else")), Size: 20}}, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v", err)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]Source{{Name: "x", Data: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}}, nil); !errors.Is(err, ErrTensors) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(ctx, m.model(t), m.model(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Whatever a file says, comparing it with a model ends with a report or an error.
func FuzzCompare(f *testing.F) {
	m := newLLM(1, 16, 32, 1, 40)
	s := files(f, m.tensors(), tensor.F32, 1)
	raw := make([]byte, s[0].Size)
	if _, err := s[0].Data.ReadAt(raw, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	other := open(f, s)
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Open([]Source{{Name: "x", Data: bytes.NewReader(b), Size: int64(len(b))}}, nil)
		if err != nil {
			return
		}
		if _, err := Compare(t.Context(), other, x, Options{Seed: 1, Layers: 1}); err != nil {
			t.Fatal(err)
		}
	})
}
