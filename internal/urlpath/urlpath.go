// Package urlpath tells paths that every server reads alike from those that some read differently.
package urlpath

import "strings"

// Plain reports whether a path reads the same to every server: it begins with a slash, has no dot segments, no empty ones,
// and nothing that some servers decode or cut off and others do not.
func Plain(p string) bool {
	rest, ok := strings.CutPrefix(p, "/")
	if !ok {
		return false
	}
	for seg := range strings.SplitSeq(rest, "/") {
		if seg == "." || seg == ".." || seg == "" {
			return false
		}
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == ';' || c == '%' || c == '?' || c == '#' {
			return false
		}
	}
	return true
}
