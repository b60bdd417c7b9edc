package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Part is something that can fail, with how it is.
type Part struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // without it the gateway should get no traffic
	Says   string `json:"says,omitempty"`
}

// Health says how the gateway's parts are.
func (g *Gateway) Health() []Part {
	s := g.current.Load()
	now := time.Now()
	parts := []Part{{Name: "listener", OK: !g.draining.Load(), Needed: true, Says: g.drainSays()}}
	well := 0
	for _, u := range s.pool.All() {
		p := Part{Name: "upstream " + u.Name(), OK: u.Well(now.UnixNano())}
		if p.OK {
			well++
		} else {
			p.Says = "left out: it cannot be reached or fails its health check"
		}
		parts = append(parts, p)
	}
	parts = append(parts, Part{Name: "upstreams", OK: well > 0, Needed: true, Says: fmt.Sprintf("%d of %d in use", well, len(s.pool.All()))})
	if s.verdicts != nil {
		st := s.verdicts.Status(now)
		says := fmt.Sprintf("%s: %d verdicts, version %d", st.State, st.Len, st.Version)
		if !st.State.Reliable() {
			says += "; " + s.routes.failures()
		}
		parts = append(parts, Part{Name: "verdicts", OK: st.State.Reliable(), Says: says})
	}
	return parts
}

// failures says which routes serve and which refuse without a reliable verdict table.
func (t *table) failures() string {
	ways := map[Failure][]string{}
	for _, r := range t.exact {
		ways[r.failure] = append(ways[r.failure], r.Path)
	}
	for _, r := range t.prefixes {
		ways[r.failure] = append(ways[r.failure], r.Path)
	}
	var says []string
	for _, f := range []Failure{FailOpen, FailClosed} {
		if paths := ways[f]; len(paths) > 0 {
			slices.Sort(paths)
			says = append(says, string(f)+" on "+strings.Join(paths, " "))
		}
	}
	return "it fails " + strings.Join(says, ", ")
}

func (g *Gateway) drainSays() string {
	if g.draining.Load() {
		return "draining: open answers are finished, nothing new is taken"
	}
	return ""
}
