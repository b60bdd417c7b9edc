package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is what a matrix does.
type kind uint8

const (
	none kind = iota
	embed
	query
	key
	value
	fused // query, key and value in one
	output
	gate
	up
	gateUp // gate and up in one
	down
	head        // from the hidden state to the vocabulary
	attentionIn // one of query, key, value and output, which shapes alone do not tell apart
	feedIn      // gate or up
)

// part is a recognised matrix.
type part struct {
	kind   kind
	stack  string // of layers, such as the text model's
	number int    // of the layer, as named
	expert int    // in a mixture; -1 outside of one
	m      matrix
}

// layer is the matrices of a layer, or of one expert of it with the layer's attention.
type layer struct {
	number, expert int
	parts          map[kind]*matrix
	gain           *Tensor // of the norm before the feed-forward part; nil when there is none
}

func (l *layer) get(k kind) *matrix { return l.parts[k] }

// names lists, for each kind, how it is called after the number of the layer, between dots. The first match counts.
func names() []struct {
	kind  kind
	names string
} {
	return []struct {
		kind  kind
		names string
	}{
		{gateUp, "gate_up_proj mlp.gate_up ffn_gate_up"},
		{fused, "qkv_proj qkv c_attn attn_qkv query_key_value W_pack Wqkv in_proj_weight in_proj wqkv"},
		{query, "q_proj attn_q wq query q_lin to_q"},
		{key, "k_proj attn_k wk key k_lin to_k"},
		{value, "v_proj attn_v wv value v_lin to_v"},
		{output, "o_proj attn_output wo attention.dense self_attn.dense self_attention.dense attention.output.dense attn.c_proj self_attn.out_proj " +
			"attn.out_proj attention.out_proj attention.out_lin"},
		{gate, "gate_proj ffn_gate ffn_gate_exps w1"},
		{up, "up_proj ffn_up ffn_up_exps w3 fc1 c_fc dense_h_to_4h fc_in lin1 intermediate.dense linear1"},
		{down, "down_proj ffn_down ffn_down_exps w2 fc2 mlp.c_proj dense_4h_to_h fc_out lin2 output.dense linear2"},
	}
}

// outside lists how the embedding is called.
func outside() string {
	return "embed_tokens wte tok_embeddings token_embd word_embeddings embed_in embedding token_embedding embed"
}

// recognise finds the parts, by names when they say enough, and by shapes otherwise.
func (m *Model) recognise() {
	m.byNames()
	m.settle()
	if len(m.parts) > 0 && m.embedded() && len(m.layers) > 0 {
		m.named = true
		return
	}
	m.parts, m.layers, m.embeds, m.hidden, m.named = nil, nil, nil, 0, false
	m.byShapes()
	if skipped := m.undecodable(); skipped != "" {
		m.notes = append(m.notes, skipped)
	}
}

func (m *Model) embedded() bool { return m.hidden > 0 }

func (m *Model) undecodable() string {
	for i := range m.Tensors {
		if t := &m.Tensors[i]; len(t.Shape) == 2 && t.elements() > 1<<16 && !t.readable() {
			return fmt.Sprintf("tensors of type %s are compared by digest only", t.DType)
		}
	}
	return ""
}

// flat returns rows and columns of a tensor of two or more dimensions, the outer ones taken together.
func flat(t *Tensor) (rows, cols int, ok bool) {
	if len(t.Shape) < 2 || !t.readable() || t.elements() < 256 || t.elements() > 1<<40 {
		return 0, 0, false
	}
	cols = int(t.Shape[len(t.Shape)-1])
	return int(t.elements() / int64(cols)), cols, cols >= 8
}

func (m *Model) byNames() {
	table := names()
	for i := range m.Tensors {
		t := &m.Tensors[i]
		rows, cols, ok := flat(t)
		if !ok || strings.Contains(t.Name, "lora_") || strings.HasSuffix(t.Name, ".bias") {
			continue
		}
		p := part{expert: -1, m: matrix{t: t, out: rows, in: cols}}
		rest, numbered := p.place(t.Name)
		if !numbered {
			switch {
			case hasName(t.Name, "lm_head embed_out output"):
				p.kind = head
			case hasName(t.Name, outside()):
				p.kind = embed
			default:
				continue
			}
			m.parts = append(m.parts, p)
			continue
		}
		for _, n := range table {
			if hasName(rest, n.names) {
				p.kind = n.kind
				m.parts = append(m.parts, p)
				break
			}
		}
	}
}

// place reads the stack, the layer's number and the expert's out of a name and returns what follows.
func (p *part) place(name string) (rest string, ok bool) {
	segments := strings.Split(name, ".")
	for i, s := range segments {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1<<20 {
			continue
		}
		if !ok {
			p.stack, p.number, ok = strings.Join(segments[:i], "."), n, true
			rest = strings.Join(segments[i+1:], ".")
			continue
		}
		p.expert = n
		break
	}
	return rest, ok
}

func hasName(name, list string) bool {
	name = "." + name + "."
	for n := range strings.FieldsSeq(list) {
		if strings.Contains(name, "."+n+".") {
			return true
		}
	}
	return false
}

// settle takes the largest stack of layers, finds the hidden size and puts every matrix the right way round.
func (m *Model) settle() {
	size := map[string]int64{}
	var best string
	for i := range m.parts {
		p := &m.parts[i]
		if p.kind == embed || p.kind == head {
			continue
		}
		size[p.stack] += p.m.t.elements()
	}
	for s, n := range size {
		if n > size[best] || n == size[best] && s < best {
			best = s
		}
	}
	if len(size) > 1 {
		m.notes = append(m.notes, fmt.Sprintf("of %d stacks of layers the largest, %q, is compared", len(size), best))
	}
	m.parts = slices.DeleteFunc(m.parts, func(p part) bool { return p.kind != embed && p.kind != head && p.stack != best })
	m.hidden = m.commonest()
	var embeds []part
	layers := map[[2]int]*layer{}
	for _, p := range slices.Clone(m.parts) {
		if p.kind == embed {
			embeds = append(embeds, p)
		}
		if p.kind == embed || p.kind == head {
			continue
		}
		at := [2]int{p.number, p.expert}
		if layers[at] == nil {
			layers[at] = &layer{number: p.number, expert: p.expert, parts: map[kind]*matrix{}}
		}
		m.put(layers[at], p)
	}
	slices.SortStableFunc(embeds, func(x, y part) int { return cmp.Compare(y.m.t.elements(), x.m.t.elements()) })
	for i := range embeds {
		if e := &embeds[i].m; e.in == m.hidden && len(m.embeds) == 0 {
			m.embeds = append(m.embeds, e)
		}
	}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		p := part{expert: -1}
		rest, ok := p.place(t.Name)
		if !ok || p.stack != best || len(t.Shape) != 1 || t.Shape[0] != int64(m.hidden) || !t.readable() || strings.HasSuffix(t.Name, ".bias") {
			continue
		}
		for at, l := range layers {
			if at[0] == p.number && hasName(rest, "post_attention_layernorm ffn_norm ln_2 pre_feedforward_layernorm norm2") {
				l.gain = t
			}
		}
	}
	m.layers = gatherLayers(layers)
}

// gatherLayers orders layers; an expert gets the attention of its layer.
func gatherLayers(layers map[[2]int]*layer) (out []layer) {
	experts := map[int]bool{}
	for at := range layers {
		experts[at[0]] = experts[at[0]] || at[1] >= 0
	}
	for at, l := range layers {
		if at[1] < 0 && experts[at[0]] && l.parts[up] == nil {
			continue
		}
		if around := layers[[2]int{at[0], -1}]; at[1] >= 0 && around != nil {
			for k, p := range around.parts {
				if l.parts[k] == nil {
					l.parts[k] = p
				}
			}
		}
		out = append(out, *l)
	}
	slices.SortFunc(out, func(x, y layer) int { return cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.expert, y.expert)) })
	return out
}

// commonest returns the dimension that most of the parts share: the hidden size.
func (m *Model) commonest() int {
	count := map[int]int{}
	for i := range m.parts {
		p := &m.parts[i].m
		count[p.in]++
		if p.out != p.in {
			count[p.out]++
		}
	}
	best := 0
	for d, n := range count {
		if n > count[best] || n == count[best] && d < best {
			best = d
		}
	}
	return best
}

// put enters a part into its layer, turned so that what it reads, or what it writes, is the hidden state.
func (m *Model) put(l *layer, p part) {
	set := func(k kind, x matrix) {
		if l.parts[k] == nil {
			l.parts[k] = &x
		}
	}
	x := p.m
	reads := p.kind != output && p.kind != down
	if reads && x.in != m.hidden && x.out == m.hidden || !reads && x.out != m.hidden && x.in == m.hidden {
		x.out, x.in, x.turned = x.in, x.out, true
	}
	if reads && x.in != m.hidden || !reads && x.out != m.hidden {
		return
	}
	if p.kind == gateUp && !x.turned && x.out%2 == 0 {
		x.out /= 2
		set(gate, x)
		x.first = x.out
		set(up, x)
		return
	}
	set(p.kind, x)
}
