package pedigree

import (
	"testing"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/internal/tensor"
	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/manifest"
)

func TestGrade(t *testing.T) {
	b := newBench(t)
	v := make([]float32, 64)
	for i := range v {
		v[i] = float32(i) * 0.3
	}
	tensors(t, "models/base/m.safetensors", tensor.F32, v)
	tensors(t, "models/half/m.safetensors", tensor.BF16, v)
	tensors(t, "models/one.safetensors", tensor.BF16, v)
	v[5] += 0.1
	tensors(t, "models/other/m.safetensors", tensor.BF16, v)
	cast := &lineage.Transformation{Kind: "cast", Parameters: map[string]string{"dtype": "BF16"}}
	for _, out := range []string{"models/half", "models/other", "models/one.safetensors"} {
		b.record(RecordOptions{Step: lineage.Convert, Transformation: cast, Inputs: made(lineage.Model, "models/base"), Outputs: made(lineage.Model, out)})
	}
	_, strangers := newKey(t)
	again := func(g *Grader) { g.Files = []string{"models"} }
	for _, row := range []struct {
		name, model string
		sign        provenance.SignOptions
		change      func(*Grader)
		want        string
	}{
		{"only said", "models/half", provenance.SignOptions{}, nil, "claimed"},
		{"done again", "models/half", provenance.SignOptions{}, again, "recomputed"},
		{"signed in shards", "models/half", provenance.SignOptions{Method: manifest.Shards}, again, "recomputed"},
		{"signed with another hash", "models/half", provenance.SignOptions{Algorithm: manifest.BLAKE3}, again, "recomputed"},
		{"one file", "models/one.safetensors", provenance.SignOptions{}, again, "recomputed"},
		{"refuted", "models/other", provenance.SignOptions{}, again, Unsound},
		{"said by strangers", "models/half", provenance.SignOptions{}, func(g *Grader) { g.Trust = strangers }, Unsound},
		{"its root unknown", "models/half", provenance.SignOptions{}, func(g *Grader) { g.Roots = nil }, Unsound},
		{"nothing said", "models/base", provenance.SignOptions{}, func(g *Grader) { g.Store = OpenStore("elsewhere") }, Unrecorded},
	} {
		row.sign.Model, row.sign.With = row.model, b.signer
		_, err := provenance.Sign(t.Context(), row.sign)
		check(t, err)
		r, err := provenance.Verify(t.Context(), provenance.VerifyOptions{Model: row.model, Trust: b.trust[0]})
		check(t, err)
		g := &Grader{Store: b.store, Trust: b.trust, Roots: []string{"models/base"}}
		if row.change != nil {
			row.change(g)
		}
		if got, err := g.Grade(t.Context(), r); err != nil || got != row.want {
			t.Errorf("%s: got %q, error %v, want %q", row.name, got, err, row.want)
		}
	}
}
