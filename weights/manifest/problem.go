package manifest

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one reason to refuse a model.
type Problem struct {
	Path  string `json:"path"`
	Kind  Kind   `json:"kind"`
	Want  string `json:"expected,omitempty"`
	Found string `json:"found,omitempty"`
	Do    string `json:"do,omitempty"` // what helps
}

// Kind sorts problems.
type Kind string

// The kinds of problems.
const (
	Changed  Kind = "changed"  // the content is another
	Missing  Kind = "missing"  // signed, not there
	Unsigned Kind = "unsigned" // there, not signed
	Hole     Kind = "hole"     // a loadable file in a path that the signature leaves out
	Link     Kind = "link"     // a symbolic link that is not followed
	Special  Kind = "special"  // neither file nor directory
	Name     Kind = "name"     // a name that some systems take for another
	Racing   Kind = "racing"   // changed while it was read
	Unread   Kind = "unread"   // cannot be read
)

// Error names the file, what was expected, what was found and what to do.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", strconv.Quote(p.Path), p.Kind)
	if p.Want != "" {
		fmt.Fprintf(&b, ": expected %s", p.Want)
	}
	if p.Found != "" {
		sep := ": "
		if p.Want != "" {
			sep = ", "
		}
		fmt.Fprintf(&b, "%sfound %s", sep, p.Found)
	}
	if p.Do != "" {
		fmt.Fprintf(&b, ": %s", p.Do)
	}
	return b.String()
}
