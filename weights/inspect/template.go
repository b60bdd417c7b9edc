package inspect

import (
	"regexp"
	"strings"
)

// maxTemplate is how much of a template is looked at, in bytes.
const maxTemplate = 1 << 20

// Template reports what a Jinja template does beyond putting messages together. A chat template needs loops, tests,
// filters and the methods of strings and lists; what reaches for Python's internals is an attack on renderers that are
// not sandboxed (CVE-2024-34359), and inclusion reads other files.
func (f *File) Template(source string, off int64) {
	if len(source) > maxTemplate {
		f.Report(RuleLimit, Unknown, off, "a template of %d bytes is not read to its end", len(source))
		source = source[:maxTemplate]
	}
	written := templateCode(source)
	code := squeeze(written)
	if name := regexp.MustCompile(`__[a-zA-Z_]+__`).FindString(code); name != "" {
		f.Report(RuleTemplate, Hostile, off, "the template uses %s, which reaches into Python", Quote(name))
		return
	}
	for _, word := range []string{
		"mro(", "|attr", "filterattr", "'attr'", `"attr"`, "func_globals", "gi_frame", "cr_frame", "f_globals", "f_builtins", "tb_frame", "cycler.", "joiner.", "lipsum", "self._",
		"_TemplateReference", "popen", "subprocess", "os.system", "getattr", "eval(", "exec(", "request.application", "url_for", "get_flashed_messages",
	} {
		if strings.Contains(code, word) {
			f.Report(RuleTemplate, Hostile, off, "the template uses %s, which reaches into Python", Quote(word))
			return
		}
	}
	for _, word := range []string{`\x`, `\u00`, `\1`} {
		// Names of attributes can be spelled so in the strings that subscripts and the filter attr take.
		if i := strings.Index(code, word); i >= 0 && spelled(code[i:]) {
			f.Report(RuleTemplate, Suspicious, off, "the template spells letters as %s escapes", Quote(word))
			return
		}
	}
	if what := computedName(written); what != "" {
		f.Report(RuleTemplate, Suspicious, off, "the template takes a member whose name it computes, %s, so that what it reaches cannot be seen", what)
		return
	}
	for _, tag := range []string{"include", "import", "from", "extends"} {
		for rest := source; ; {
			_, after, ok := strings.Cut(rest, "{%")
			if !ok {
				break
			}
			rest = after
			if named, ok := strings.CutPrefix(strings.TrimLeft(after, "-+ \t\r\n"), tag); ok && !identifierStart(named) {
				f.Report(RuleTemplate, Suspicious, off, "the template has the tag %s, which reads another one", Quote(tag))
				return
			}
		}
	}
}

// identifierStart reports whether a name goes on.
func identifierStart(s string) bool {
	return s != "" && (s[0] == '_' || s[0] >= '0' && s[0] <= '9' || s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
}

// computedName says by which means a template makes up a name that it then looks up, or "". Chat templates subscript by a
// literal, by numbers and by variables; names that Python keeps for itself need underscores, and come from texts with them.
func computedName(code string) string {
	masked, literals := mask(code)
	open := regexp.MustCompile(`\[([^\[\]]*)\]`)
	what, before := regexp.MustCompile(`[\])}\w\x00\x01]\s*$`), regexp.MustCompile(`\b(?:in|and|or|not|if|elif|else|is)\s*$`)
	lengths := regexp.MustCompile(`\|\s*(?:length|int|count)\b`)
	variable := false
	for range 10_000 {
		m := open.FindStringSubmatchIndex(masked)
		if m == nil {
			break
		}
		inner, head, mark := lengths.ReplaceAllString(masked[m[2]:m[3]], ""), masked[max(m[0]-40, 0):m[0]], "\x01"
		if what.MatchString(head) && !before.MatchString(head) {
			switch inner = strings.TrimSpace(inner); {
			case inner == "\x00":
			case strings.ContainsAny(inner, "\x00\x01~|"):
				return "by " + Quote(strings.NewReplacer("\x00", "''", "\x01", "[]").Replace(inner))
			case strings.HasSuffix(strings.TrimSpace(head), "\x00"):
				return "from letters of a text"
			default:
				variable = variable || strings.ContainsFunc(inner, func(r rune) bool { return r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z' })
			}
			mark = ""
		}
		masked = masked[:m[0]] + mark + masked[m[1]:]
	}
	if !variable {
		return ""
	}
	for _, l := range literals {
		if strings.Contains(l, "%c") || !strings.HasPrefix(l, "(") && (strings.HasPrefix(l, "_") || strings.HasSuffix(l, "_")) {
			return "from the text " + Quote(l)
		}
	}
	if regexp.MustCompile(`\|\s*select\s*\|\s*string|\|\s*string\s*(?:\|\s*list\s*)?\)`).MatchString(masked) {
		return "from letters of a text"
	}
	return ""
}

// mask puts a zero byte in the place of each literal of text, and returns what they say, with an opening bracket before those
// that are only looked for: the first argument of replace and split.
func mask(code string) (string, []string) {
	var b strings.Builder
	var literals []string
	searched := regexp.MustCompile(`(?:replace|split)\s*\(\s*$`)
	for i := 0; i < len(code); i++ {
		c := code[i]
		if c != '\'' && c != '"' {
			b.WriteByte(c)
			continue
		}
		start := i + 1
		for i++; i < len(code) && code[i] != c; i++ {
			if code[i] == '\\' {
				i++
			}
		}
		literal := code[start:min(i, len(code))]
		if before := b.String(); searched.MatchString(before[max(len(before)-40, 0):]) {
			literal = "(" + literal
		}
		if len(literals) < 10_000 {
			literals = append(literals, literal)
		}
		b.WriteByte(0)
	}
	return b.String(), literals
}

// templateCode returns what is between the delimiters of a template. A delimiter within a text ends nothing for Jinja; since
// quotes in comments can hide one as well, the next code is looked for from the first delimiter on all the same.
func templateCode(source string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(source, '{')
		if i < 0 || i+1 == len(source) {
			return b.String()
		}
		end := ""
		switch source[i+1] {
		case '{':
			end = "}}"
		case '%':
			end = "%}"
		}
		source = source[i+1:]
		if end == "" {
			continue
		}
		_, rest, _ := strings.Cut(source[1:], end)
		b.WriteString(source[1 : 1+codeEnd(source[1:], end)])
		b.WriteByte('\n')
		source = rest
		if b.Len() > 4*maxTemplate { // quotes that never end, at each delimiter
			return b.String()
		}
	}
}

// codeEnd returns where code ends: at the first delimiter outside of a text, or at the last place that there is.
func codeEnd(code, end string) int {
	for i := 0; i < len(code); i++ {
		switch c := code[i]; c {
		case '\'', '"':
			for i++; i < len(code) && code[i] != c; i++ {
				if code[i] == '\\' {
					i++
				}
			}
		case end[0]:
			if strings.HasPrefix(code[i:], end) {
				return i
			}
		}
	}
	return len(code)
}

// squeeze leaves out white space, and joins texts that are put together from pieces.
func squeeze(s string) string {
	s = strings.Join(strings.Fields(s), "")
	return strings.NewReplacer(`"~"`, "", `'~'`, "", `"~'`, "", `'~"`, "", `"+"`, "", `'+'`, "", `"+'`, "", `'+"`, "", `""`, "", "''", "", `"'`, "", `'"`, "").Replace(s)
}

// spelled reports whether an escape stands for a letter, a digit or an underscore.
func spelled(s string) bool {
	if len(s) < 4 {
		return false
	}
	digits := s[2:4]
	if s[1] == 'u' && len(s) >= 6 {
		digits = s[4:6]
	}
	switch strings.ToLower(digits)[0] {
	case '5', '6', '7':
		return s[1] != '1'
	}
	return s[1] == '1' && s[2] >= '0' && s[2] <= '7'
}
