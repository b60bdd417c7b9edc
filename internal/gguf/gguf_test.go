package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

func sample(t testing.TB) []byte {
	var b bytes.Buffer
	err := Write(&b, []Pair{
		{Key: "general.architecture", Value: "llama"}, {Key: "tokenizer.ggml.tokens", Value: []string{"a", "", "ccc"}},
		{Key: "n", Value: uint32(7)}, {Key: "x", Value: float32(0.5)}, {Key: "y", Value: true}, {Key: "z", Value: int32(-3)},
	}, []Content{
		{"token_embd.weight", "F16", []int64{3, 2}, make([]byte, 12)}, {"blk.0.attn_q.weight", "Q8_0", []int64{2, 32}, make([]byte, 68)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	b := sample(t)
	f, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Text("general.architecture") != "llama" || len(f.Metadata) != 6 || len(f.Tensors) != 2 {
		t.Fatalf("read %+v", f)
	}
	v, _ := f.Lookup("tokenizer.ggml.tokens")
	tokens, err := v.(Array).Strings(bytes.NewReader(b))
	if err != nil || !reflect.DeepEqual(tokens, []string{"a", "", "ccc"}) {
		t.Errorf("tokens %q, %v", tokens, err)
	}
	if v, _ := f.Lookup("z"); v != int64(-3) {
		t.Errorf("z is %v", v)
	}
	q := f.Tensors[1]
	if q.DType != "Q8_0" || !reflect.DeepEqual(q.Shape, []int64{2, 32}) || q.Size != 68 || q.Offset%32 != 0 {
		t.Errorf("tensor %+v", q)
	}
}

func TestRefusals(t *testing.T) {
	good := sample(t)
	put := func(at int, v uint64) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint64(b[at:], v)
		return b
	}
	keyLen := 24
	list := bytes.Index(good, []byte("tokens")) + 6 + 4 + 4
	info := bytes.Index(good, []byte("attn_q.weight")) + 13 + 4
	for name, b := range map[string][]byte{
		"empty": {}, "magic": append([]byte("GGML"), good[4:]...), "version": append([]byte("GGUF\x04\x00\x00\x00"), good[8:]...),
		"tensor count": put(8, 1<<60), "key count": put(16, 1<<60), "key length": put(keyLen, 1<<63), "list count": put(list, 1<<61),
		"string in list": put(list+8, 1<<62), "dimension": put(info, 1<<62), "half block": put(info, 33), "offset": put(info+20, 1<<40),
		"unaligned": put(info+20, 33), "overlap": put(info+20, 0), "cut": good[:len(good)-80],
		"type": append(append(bytes.Clone(good[:info+16]), 200), good[info+17:]...),
	} {
		if _, err := Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for n := range good[:len(good)-100] { // never more than an error
		if _, err := Read(bytes.NewReader(good[:n]), int64(n)); err == nil {
			t.Fatalf("the first %d bytes are taken for a file", n)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := Read(r, int64(len(b)))
		if err != nil {
			return
		}
		for _, x := range h.Tensors {
			if x.Offset < 0 || x.Size < 0 || x.Offset+x.Size > int64(len(b)) {
				t.Fatalf("tensor %+v lies outside of %d bytes", x, len(b))
			}
		}
		for _, kv := range h.Metadata {
			if a, ok := kv.Value.(Array); ok && a.Kind == String {
				if _, err := a.Strings(r); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
