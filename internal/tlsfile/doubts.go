package tlsfile

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// soon is how long before its end a certificate is spoken of.
const soon = 14 * 24 * time.Hour

// Doubts says what of a pair that can be read will not do: a certificate that has ended, is not valid yet or ends within two
// weeks of now, and a key that others may read. What cannot be read at all is said too.
func Doubts(certificate, key string, now time.Time) (out []string) {
	pair, err := Pair(certificate, key)
	if err != nil {
		return []string{err.Error()}
	}
	if w := ends(certificate, pair.Leaf.NotBefore, pair.Leaf.NotAfter, now); w != "" {
		out = append(out, w)
	}
	if w := Exposed(key); w != "" {
		out = append(out, w)
	}
	return out
}

// AuthorityDoubts says of a file of authorities that none of them is valid at the time now, or that it cannot be read.
func AuthorityDoubts(file string, now time.Time) []string {
	all, err := authorities(file)
	if err != nil {
		return []string{fmt.Sprintf("read the authorities: %v", err)}
	}
	last := all[0]
	for _, c := range all {
		if c.NotAfter.After(last.NotAfter) {
			last = c
		}
	}
	if w := ends(file, last.NotBefore, last.NotAfter, now); w != "" {
		return []string{w}
	}
	return nil
}

func ends(file string, from, to, now time.Time) string {
	day := func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
	switch {
	case now.After(to):
		return fmt.Sprintf("certificate in %s has expired on %s: the other side refuses it; put a renewed one there", file, day(to))
	case now.Before(from):
		return fmt.Sprintf("certificate in %s is valid from %s only: look at this machine's clock, or put another one there", file, day(from))
	case to.Sub(now) < soon && to.Sub(from) > 2*soon: // those that live for days are renewed by a program
		return fmt.Sprintf("certificate in %s expires on %s: renew it before", file, day(to))
	}
	return ""
}

// Exposed says that anybody on this machine can read or write a file that holds a secret; "" when not, or when it is not there.
// What its group may do is left to whoever chose the group.
func Exposed(file string) string {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o007 == 0 {
		return ""
	}
	return fmt.Sprintf("anybody on this machine can use %s, which holds a secret (mode %04o): chmod 600 it, or 640 with a group of this program's own", file, info.Mode().Perm())
}
