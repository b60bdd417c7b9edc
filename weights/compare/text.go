package compare

import (
	"fmt"
	"strings"
)

// Text writes the report for people, without the relation: reasons, figures, notes.
func (r *Report) Text() string {
	var b strings.Builder
	for _, s := range r.Reasons {
		fmt.Fprintf(&b, "  because    %s\n", s)
	}
	for _, m := range []struct {
		name string
		s    *Shape
	}{{"A", &r.A}, {"B", &r.B}} {
		fmt.Fprintf(&b, "  %-10s %d tensors, %.3g parameters (%s); %d layers, hidden %d, neurons %d, vocabulary %d, recognised %s\n",
			m.name, m.s.Tensors, float64(m.s.Parameters), m.s.Types, m.s.Layers, m.s.Hidden, m.s.Neurons, m.s.Vocabulary, m.s.Recognised)
	}
	if o := r.Overlap; o != nil {
		fmt.Fprintf(&b, "  equal      %d matrices of %d and %d, %d under other names; %d other tensors\n", o.Tensors, o.OfA, o.OfB, o.Renamed, o.Other)
	}
	if a := r.Alignment; a != nil {
		way := "hidden dimensions correspond by number"
		if !a.Straight {
			way = "hidden dimensions were assigned"
		}
		fmt.Fprintf(&b, "  alignment  %s, cosine %.3f, over %d tokens %s\n", way, a.Cosine, a.Tokens, a.Common)
	}
	if d := r.Distance; d != nil {
		fmt.Fprintf(&b, "  distance   %.2f bits, cosine %.4f, over %d samples of %d matrices", d.Bits, d.Cosine, d.Samples, d.Tensors)
		if d.Recast >= 0 {
			fmt.Fprintf(&b, "; %.4f equal when rounded", d.Recast)
		}
		b.WriteByte('\n')
	}
	if a := r.Attention; a != nil {
		fmt.Fprintf(&b, "  attention  agreement %.4f, %.1f sigma, over %d layers\n", a.Score, a.Sigma, a.Layers)
	}
	if i := r.Independence; i != nil {
		fmt.Fprintf(&b, "  neurons    p = %s; by number p = %s", Power(i.LogP), Power(i.Ordered.LogP))
		if i.Matched != nil {
			fmt.Fprintf(&b, ", matched twice p = %s", Power(i.Matched.LogP))
		}
		if i.InPlace != nil {
			fmt.Fprintf(&b, ", in place p = %s", Power(i.InPlace.LogP))
		}
		fmt.Fprintf(&b, "; cosine %.3f; %d neurons in each of %d layers\n", i.Cosine, i.Neurons, i.Layers)
		if t := i.Tokens; t != nil {
			fmt.Fprintf(&b, "  tokens     by number p = %s", Power(t.Ordered.LogP))
			if t.Matched != nil {
				fmt.Fprintf(&b, ", matched twice p = %s", Power(t.Matched.LogP))
			}
			fmt.Fprintf(&b, "; in %d layers\n", t.Layers)
		}
	}
	if s := r.Spread; s != nil {
		fmt.Fprintf(&b, "  spread     correlation %.3f over %d layers\n", s.Correlation, s.Layers)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  note       %s\n", n)
	}
	return b.String()
}
