package inspect

import (
	"slices"
	"strings"
)

// inspect scans the file by every format that its content fits, and returns their names.
func (in *Inspector) inspect(f *File) string {
	if f.Size == 0 {
		return "empty"
	}
	f.Head()
	var fits []Format
	claimed, kept := []string{}, false
	for _, format := range in.Formats {
		claims := slices.Contains(format.Extensions, f.Extension())
		if claims {
			claimed = append(claimed, format.Name)
		}
		if format.Match(f) {
			fits = append(fits, format)
		}
	}
	if slices.ContainsFunc(fits, func(g Format) bool { return !g.Fallback }) {
		fits = slices.DeleteFunc(fits, func(g Format) bool { return g.Fallback })
	}
	for _, format := range fits {
		kept = kept || slices.Contains(format.Extensions, f.Extension())
	}
	names := make([]string, len(fits))
	for i, format := range fits {
		names[i] = format.Name
	}
	name := strings.Join(names, "+")
	switch {
	case len(fits) == 0 && len(claimed) > 0:
		f.Report(RuleName, Suspicious, 0, "the name says %s; the content is of no known format", strings.Join(claimed, " or "))
	case len(fits) == 0:
		f.Report(RuleUnrecognised, Unknown, 0, "the content is of no known format")
	case len(claimed) > 0 && !kept:
		f.Report(RuleName, Suspicious, 0, "the name says %s; the content is %s", strings.Join(claimed, " or "), name)
	}
	if len(fits) > 1 {
		f.Report(RulePolyglot, Suspicious, 0, "the content is %s at the same time", strings.Join(names, " and "))
	}
	for _, format := range fits {
		format.Scan(f)
	}
	return name
}
