package recompute

import (
	"fmt"
	"strings"
)

// renamed returns a model with its tensors under the names, and their rows in the order, of the output's format.
func (c *comparison) renamed(in *Model) (*Model, error) {
	how := c.text(names, "")
	if how == "" {
		how = "same"
		if c.out.gguf != nil && in.gguf == nil {
			how = "llama"
		}
	}
	switch how {
	case "same":
		return in, nil
	case "llama":
		return c.toGGUF(in)
	}
	return nil, fmt.Errorf("%w: parameter %s is %q, neither same nor llama", ErrUnable, names, how)
}

// toGGUF names tensors as llama.cpp's converter does. For its architecture llama, the rows of the query and key matrices
// are put in another order: those of a head, two halves one after the other, are interleaved.
func (c *comparison) toGGUF(in *Model) (*Model, error) {
	g := c.out.gguf
	if g == nil {
		return nil, fmt.Errorf("%w: names of GGUF are stated, and the output is none", ErrUnable)
	}
	arch := g.Text("general.architecture")
	switch arch {
	case "llama", "qwen2", "qwen3":
	default:
		return nil, fmt.Errorf("%w: how architecture %q is written in GGUF is not built", ErrUnable, arch)
	}
	heads, kv := count(g.Lookup(arch+".attention.head_count")), count(g.Lookup(arch+".attention.head_count_kv"))
	if kv == 0 {
		kv = heads
	}
	out := &Model{tensors: map[string]*weights{}, gguf: in.gguf, raw: in.raw}
	for _, name := range in.names() {
		to, ok := ggufName(name)
		if !ok {
			return nil, fmt.Errorf("%w: how tensor %q is called in GGUF is not known", ErrUnable, name)
		}
		t := *in.tensors[name]
		t.name = to
		if arch == "llama" {
			n := int64(0)
			switch {
			case strings.Contains(to, ".attn_q."):
				n = heads
			case strings.Contains(to, ".attn_k."):
				n = kv
			}
			if n > 0 && len(t.shape) == 2 {
				if t.shape[0]%(2*n) != 0 {
					return nil, differs("the %d rows of tensor %q do not go into %d heads", t.shape[0], to, n)
				}
				t.row = interleaved(t.shape[0] / n)
			} else if n > 0 {
				return nil, fmt.Errorf("%w: tensor %q has one dimension", ErrUnable, name)
			}
		}
		out.tensors[to] = &t
	}
	return out, nil
}

// interleaved returns where row i of a tensor with heads of size rows was before.
func interleaved(size int64) func(int64) int64 {
	return func(i int64) int64 {
		in := i % size
		return i - in + in%2*(size/2) + in/2
	}
}

func count(v any, ok bool) int64 {
	n, is := v.(uint64)
	if !ok || !is || n > 1<<20 {
		return 0
	}
	return int64(n)
}

func ggufName(name string) (string, bool) {
	switch name {
	case "model.embed_tokens.weight":
		return "token_embd.weight", true
	case "model.norm.weight":
		return "output_norm.weight", true
	case "lm_head.weight":
		return "output.weight", true
	}
	rest, ok := strings.CutPrefix(name, "model.layers.")
	layer, part, ok2 := strings.Cut(rest, ".")
	dot := strings.LastIndexByte(part, '.')
	if !ok || !ok2 || dot < 0 {
		return "", false
	}
	to := map[string]string{
		"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
		"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
		"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
		"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	}[part[:dot]]
	return "blk." + layer + "." + to + part[dot:], to != ""
}
