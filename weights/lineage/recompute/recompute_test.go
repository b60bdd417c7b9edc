package recompute

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/internal/gguf"
	"github.com/palladium-guard/palladium/internal/safetensors"
	"github.com/palladium-guard/palladium/internal/tensor"
)

// values are a model as the tests hold it.
type values map[string]matrix

type matrix struct {
	shape []int64
	v     []float32
}

func random(seed uint64, shapes map[string][]int64) values {
	r := rand.New(rand.NewPCG(seed, 1))
	out := values{}
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		n := int64(1)
		for _, d := range shapes[name] {
			n *= d
		}
		m := matrix{shape: shapes[name], v: make([]float32, n)}
		for i := range m.v {
			m.v[i] = float32(r.NormFloat64() * 0.02)
		}
		out[name] = m
	}
	return out
}

func shapes() map[string][]int64 {
	return map[string][]int64{
		"model.embed_tokens.weight": {48, 64}, "model.layers.0.self_attn.q_proj.weight": {64, 64}, "model.layers.0.self_attn.k_proj.weight": {32, 64},
		"model.layers.0.mlp.up_proj.weight": {96, 64}, "model.norm.weight": {64},
	}
}

func encodeAs(t *testing.T, d tensor.DType, v []float32) []byte {
	t.Helper()
	elements, size := d.Block()
	out := make([]byte, len(v)/elements*size)
	if err := d.Encode(out, v); err != nil {
		t.Fatal(err)
	}
	return out
}

// model writes values as safetensors in some files and opens them.
func model(t *testing.T, v values, files int, dtype func(name string) tensor.DType) *Model {
	t.Helper()
	parts := make([][]safetensors.Content, files)
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		d := dtype(name)
		parts[i%files] = append(parts[i%files], safetensors.Content{Name: name, DType: string(d), Shape: v[name].shape, Data: encodeAs(t, d, v[name].v)})
	}
	var list []File
	for i, p := range parts {
		var b bytes.Buffer
		if err := safetensors.Write(&b, nil, p); err != nil {
			t.Fatal(err)
		}
		list = append(list, File{Name: fmt.Sprintf("model-%d.safetensors", i), Content: bytes.NewReader(b.Bytes()), Size: int64(b.Len())})
	}
	m, err := Open(list)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func all(d tensor.DType) func(string) tensor.DType { return func(string) tensor.DType { return d } }

// held returns values as a type holds them.
func held(t *testing.T, v values, d tensor.DType) values {
	t.Helper()
	out := values{}
	for name, m := range v {
		c := matrix{shape: m.shape, v: make([]float32, len(m.v))}
		if err := d.Decode(c.v, encodeAs(t, d, m.v)); err != nil {
			t.Fatal(err)
		}
		out[name] = c
	}
	return out
}

func clone(v values) values {
	out := values{}
	for name, m := range v {
		out[name] = matrix{m.shape, slices.Clone(m.v)}
	}
	return out
}

// expect does a step again.
func expect(t *testing.T, agree bool, kind string, parameters map[string]string, in Inputs, out *Model) Result {
	t.Helper()
	r, err := Check(kind, parameters, in, out)
	if err != nil {
		t.Fatalf("%s %v: %v", kind, parameters, err)
	}
	if r.Agree != agree {
		t.Errorf("%s %v: agree is %v: %s", kind, parameters, r.Agree, r.Detail)
	}
	return r
}

func TestCopyAndCast(t *testing.T) {
	v := random(1, shapes())
	whole := model(t, v, 1, all(tensor.F32))
	in := Inputs{Models: []*Model{whole}}
	expect(t, true, Copy, nil, in, model(t, v, 3, all(tensor.F32)))
	if r := expect(t, true, Cast, map[string]string{"dtype": "BF16"}, in, model(t, v, 2, all(tensor.BF16))); r.Exact != r.Elements || r.Tensors != 5 {
		t.Errorf("%+v", r)
	}
	expect(t, true, Cast, nil, in, model(t, v, 1, all(tensor.F16)))
	expect(t, false, Copy, nil, in, model(t, v, 1, all(tensor.BF16)))
	expect(t, false, Cast, map[string]string{"dtype": "F16"}, in, model(t, v, 1, all(tensor.BF16)))
	expect(t, true, Cast, map[string]string{"dtype": "BF16"}, in, model(t, v, 1, func(name string) tensor.DType {
		if name == "model.norm.weight" {
			return tensor.F32 // left as it was
		}
		return tensor.BF16
	}))

	one := clone(v)
	one["model.norm.weight"].v[3] *= 1.02
	expect(t, false, Cast, nil, in, model(t, one, 1, all(tensor.BF16)))
	expect(t, false, Copy, nil, in, model(t, one, 1, all(tensor.F32)))

	swapped := clone(v)
	up := swapped["model.layers.0.mlp.up_proj.weight"]
	slices.Reverse(up.v)
	expect(t, false, Cast, nil, in, model(t, swapped, 1, all(tensor.BF16)))

	fewer := clone(v)
	delete(fewer, "model.norm.weight")
	expect(t, false, Cast, nil, in, model(t, fewer, 1, all(tensor.BF16)))
	expect(t, true, Cast, map[string]string{"omit": "model.norm.*"}, in, model(t, fewer, 1, all(tensor.BF16)))
	expect(t, false, Cast, nil, Inputs{Models: []*Model{model(t, fewer, 1, all(tensor.F32))}}, model(t, v, 1, all(tensor.BF16)))
	if _, err := Check(Cast, map[string]string{"surprise": "1"}, in, whole); !errors.Is(err, ErrUnable) {
		t.Errorf("an unknown parameter: %v", err)
	}
	if _, err := Check("magic", nil, in, whole); !errors.Is(err, ErrUnable) {
		t.Errorf("an unknown transformation: %v", err)
	}
}

// asGGUF writes values as GGUF of architecture llama with two heads and one key head.
func asGGUF(t *testing.T, v values, d tensor.DType, permute bool) *Model {
	t.Helper()
	var list []gguf.Content
	for name, m := range v {
		to, ok := ggufName(name)
		if !ok {
			t.Fatal(name)
		}
		data, as := slices.Clone(m.v), d
		if heads := map[string]int64{"blk.0.attn_q.weight": 2, "blk.0.attn_k.weight": 1}[to]; heads > 0 && permute {
			rows, columns := m.shape[0], m.shape[1]
			half := rows / heads / 2
			for h := range heads { // W.reshape(H, 2, half, in).swapaxes(1, 2)
				for j := range int64(2) {
					for i := range half {
						from, at := h*2*half+j*half+i, h*2*half+2*i+j
						copy(data[at*columns:(at+1)*columns], m.v[from*columns:(from+1)*columns])
					}
				}
			}
		}
		if len(m.shape) == 1 {
			as = tensor.F32
		}
		list = append(list, gguf.Content{Name: to, DType: string(as), Shape: m.shape, Data: encodeAs(t, as, data)})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	var b bytes.Buffer
	err := gguf.Write(&b, []gguf.Pair{{Key: "general.architecture", Value: "llama"}, {Key: "llama.attention.head_count", Value: uint32(2)}, {Key: "llama.attention.head_count_kv", Value: uint32(1)}}, list)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open([]File{{Name: "m.gguf", Content: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestQuantise(t *testing.T) {
	v := held(t, random(2, shapes()), tensor.BF16)
	in := Inputs{Models: []*Model{model(t, v, 2, all(tensor.BF16))}}
	for _, d := range []tensor.DType{tensor.Q8_0, tensor.Q4_0, tensor.F16, tensor.F32} {
		expect(t, true, Cast, map[string]string{"dtype": string(d)}, in, asGGUF(t, v, d, true))
		expect(t, false, Cast, nil, in, asGGUF(t, v, d, false))
		other := clone(v)
		other["model.embed_tokens.weight"].v[100] += 0.05
		expect(t, false, Cast, nil, in, asGGUF(t, other, d, true))
	}
	expect(t, true, Cast, nil, Inputs{Models: []*Model{asGGUF(t, v, tensor.F16, true)}}, asGGUF(t, held(t, v, tensor.F16), tensor.Q8_0, true))
	if _, err := Check(Cast, nil, Inputs{Models: []*Model{asGGUF(t, v, tensor.Q8_0, true)}}, asGGUF(t, v, tensor.F16, true)); !errors.Is(err, ErrUnable) {
		t.Errorf("from quantised: %v", err)
	}
}

// TestBlocks goes by quantize_row_q8_0_ref and quantize_row_q4_0_ref of ggml, written down from their text in 32-bit
// arithmetic, on awkward blocks.
func TestBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for round := range 200 {
		x := make([]float32, 32)
		for i := range x {
			switch round % 5 {
			case 0:
				x[i] = float32(r.NormFloat64())
			case 1:
				x[i] = float32(r.IntN(9)-4) * 0.5 // ties
			case 2:
				x[i] = float32(r.NormFloat64()) * 1e-7 // scales below the least normal half
			case 3:
				x[i] = float32(r.IntN(3) - 1) // equal sizes of both signs
			}
		}
		var q8, q4 bytes.Buffer
		var top, most float32
		for _, f := range x {
			if a := float32(math.Abs(float64(f))); a > top {
				top, most = a, f
			}
		}
		half := func(b *bytes.Buffer, d float32) { _ = binary.Write(b, binary.LittleEndian, tensor.ToF16(d)) }
		d, id := top/127, float32(0)
		if d != 0 {
			id = 1 / d
		}
		half(&q8, d)
		for _, f := range x {
			q8.WriteByte(byte(int8(math.Round(float64(float32(f * id)))))) // half away from zero
		}
		d, id = most/-8, 0
		if d != 0 {
			id = 1 / d
		}
		half(&q4, d)
		nibble := func(f float32) byte { return byte(min(15, int8(float32(f*id)+8.5))) }
		for i := range 16 {
			q4.WriteByte(nibble(x[i]) | nibble(x[i+16])<<4)
		}
		if got := encodeAs(t, tensor.Q8_0, x); !bytes.Equal(got, q8.Bytes()) {
			t.Errorf("Q8_0 of %v: %x, not %x", x, got, q8.Bytes())
		}
		if got := encodeAs(t, tensor.Q4_0, x); !bytes.Equal(got, q4.Bytes()) {
			t.Errorf("Q4_0 of %v: %x, not %x", x, got, q4.Bytes())
		}
	}
}

func TestLoRA(t *testing.T) {
	const rank, name = 4, "model.layers.0.mlp.up_proj.weight"
	base := held(t, random(4, shapes()), tensor.BF16)
	adapter := random(5, map[string][]int64{
		"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": {rank, 64},
		"base_model.model.model.layers.0.mlp.up_proj.lora_B.weight": {96, rank},
	})
	a, b := adapter["base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"].v, adapter["base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"].v
	merge := func(scale float32) values { // in 32 bits, in one of the orders in which it may be done
		out := clone(base)
		w := out[name].v
		for i := range 96 {
			for j := range 64 {
				var sum float32
				for k := range rank {
					sum += float32(b[i*rank+k] * a[k*64+j])
				}
				w[i*64+j] += float32(scale * sum)
			}
		}
		return out
	}
	in := Inputs{Models: []*Model{model(t, base, 2, all(tensor.BF16))}, Adapters: []*Model{model(t, adapter, 1, all(tensor.F32))}}
	p := map[string]string{"alpha": "64"}
	for _, d := range []tensor.DType{tensor.BF16, tensor.F16, tensor.F32} {
		as := func(n string) tensor.DType {
			if n == name || d == tensor.F32 {
				return d
			}
			return tensor.BF16
		}
		r := expect(t, true, LoRA, p, in, model(t, merge(16), 1, as))
		if r.Elements-r.Exact > r.Elements/5 {
			t.Errorf("%s: only %d of %d elements to the byte", d, r.Exact, r.Elements)
		}
		expect(t, false, LoRA, p, in, model(t, merge(15), 1, as))
		expect(t, false, LoRA, p, in, model(t, base, 1, as))
	}
	expect(t, true, LoRA, map[string]string{"alpha": "32", "rslora": "true"}, in, model(t, merge(16), 1, all(tensor.BF16)))

	// A back door of one step of BF16 in one weight is found.
	door := held(t, merge(16), tensor.BF16)
	bits := math.Float32bits(door[name].v[7]) + 1<<16
	door[name].v[7] = math.Float32frombits(bits)
	expect(t, false, LoRA, p, in, model(t, door, 1, all(tensor.BF16)))

	if _, err := Check(LoRA, nil, in, in.Models[0]); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "alpha") {
		t.Errorf("without alpha: %v", err)
	}
}

func TestMerges(t *testing.T) {
	base := held(t, random(6, shapes()), tensor.BF16)
	var models []*Model
	tuned := []values{base}
	for seed := range uint64(3) {
		d := random(10+seed, shapes())
		v := clone(base)
		for name := range v {
			for i := range v[name].v {
				v[name].v[i] += d[name].v[i] * 0.1
			}
		}
		tuned = append(tuned, held(t, v, tensor.BF16))
	}
	for _, v := range tuned {
		models = append(models, model(t, v, 1, all(tensor.BF16)))
	}
	each := func(f func(name string, i int) float32) values {
		out := clone(base)
		for name := range out {
			for i := range out[name].v {
				out[name].v[i] = f(name, i)
			}
		}
		return out
	}
	at := func(m int, name string, i int) float32 { return tuned[m][name].v[i] }
	mean := each(func(n string, i int) float32 { return (0.3*at(1, n, i) + 0.5*at(2, n, i)) / 0.8 })
	task := each(func(n string, i int) float32 {
		b := at(0, n, i)
		return b + 0.7*(1*(at(1, n, i)-b)+0.5*(at(2, n, i)-b))
	})
	for _, c := range []struct {
		kind       string
		parameters map[string]string
		in         []*Model
		out        values
	}{
		{Mean, map[string]string{"weights": "0.3,0.5"}, models[1:3], mean},
		{Task, map[string]string{"weights": "1,0.5", "lambda": "0.7"}, models[:3], task},
		{SLERP, map[string]string{"t": "0.4"}, models[1:3], slerped(tuned[1], tuned[2], 0.4)},
		{TIES, map[string]string{"density": "0.5", "weights": "1,0.5,0.8", "lambda": "0.9"}, models, ties(tuned, 0.5, []float32{1, 0.5, 0.8}, 0.9, true)},
		{TIES, map[string]string{"density": "0.2", "normalise": "false"}, models, ties(tuned, 0.2, []float32{1, 1, 1}, 1, false)},
	} {
		for _, d := range []tensor.DType{tensor.BF16, tensor.F32} {
			expect(t, true, c.kind, c.parameters, Inputs{Models: c.in}, model(t, c.out, 1, all(d)))
			expect(t, false, c.kind, c.parameters, Inputs{Models: c.in}, model(t, base, 1, all(d)))
			swapped := slices.Clone(c.in)
			slices.Reverse(swapped)
			if c.parameters["density"] != "0.2" { // there the base alone tells them apart, and it is last now
				expect(t, false, c.kind, c.parameters, Inputs{Models: swapped}, model(t, c.out, 1, all(d)))
			}
		}
	}
	if _, err := Check(Mean, map[string]string{"weights": "1"}, Inputs{Models: models}, models[0]); !errors.Is(err, ErrUnable) {
		t.Errorf("too few weights: %v", err)
	}
}

func slerped(a, b values, t float64) values {
	out := clone(a)
	for name := range out {
		var dot, na, nb float64
		for i := range out[name].v {
			x, y := float64(a[name].v[i]), float64(b[name].v[i])
			dot, na, nb = dot+x*y, na+x*x, nb+y*y
		}
		cos := dot / math.Sqrt(na*nb)
		s0, s1 := 1-t, t
		if math.Abs(cos) <= 0.9995 {
			angle := math.Acos(cos)
			s0, s1 = math.Sin((1-t)*angle)/math.Sin(angle), math.Sin(t*angle)/math.Sin(angle)
		}
		for i := range out[name].v {
			out[name].v[i] = float32(s0)*a[name].v[i] + float32(s1)*b[name].v[i]
		}
	}
	return out
}

// ties is TIES by sorting, cutting ties by place.
func ties(m []values, density float64, w []float32, lambda float32, normalise bool) values {
	out := clone(m[0])
	for name := range out {
		n := len(out[name].v)
		deltas := make([][]float32, len(m)-1)
		for k := range deltas {
			deltas[k] = make([]float32, n)
			order := make([]int, n)
			for i := range n {
				deltas[k][i], order[i] = m[k+1][name].v[i]-m[0][name].v[i], i
			}
			sort.SliceStable(order, func(x, y int) bool { return abs(deltas[k][order[x]]) > abs(deltas[k][order[y]]) })
			for _, i := range order[int(density*float64(n)):] {
				deltas[k][i] = 0
			}
		}
		for i := range n {
			var sum, mixed, total float32
			for k := range deltas {
				sum += deltas[k][i] * w[k]
			}
			for k := range deltas {
				if d := deltas[k][i] * w[k]; d != 0 && (d > 0) == (sum >= 0) {
					mixed, total = mixed+d, total+w[k]
				}
			}
			if normalise && total > 1e-8 {
				mixed /= total
			}
			out[name].v[i] = m[0][name].v[i] + lambda*mixed
		}
	}
	return out
}

func FuzzOpen(f *testing.F) {
	var b bytes.Buffer
	_ = safetensors.Write(&b, nil, []safetensors.Content{{Name: "w", DType: "F32", Shape: []int64{2}, Data: make([]byte, 8)}})
	f.Add(b.Bytes(), "m.safetensors", "cast")
	f.Add([]byte("GGUF"), "m.gguf", "ties")
	f.Fuzz(func(_ *testing.T, data []byte, name, kind string) {
		m, err := Open([]File{{Name: name, Content: bytes.NewReader(data), Size: int64(len(data))}})
		if err != nil {
			return
		}
		_, _ = Check(kind, nil, Inputs{Models: []*Model{m}}, m)
	})
}
