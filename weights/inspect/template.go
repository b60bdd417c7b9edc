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
	code := squeeze(templateCode(source))
	if name := regexp.MustCompile(`__[a-zA-Z_]+__`).FindString(code); name != "" {
		f.Report(RuleTemplate, Hostile, off, "the template uses %s, which reaches into Python", Quote(name))
		return
	}
	for _, word := range []string{
		"mro(", "|attr", "func_globals", "gi_frame", "cr_frame", "f_globals", "f_builtins", "tb_frame", "cycler.", "joiner.", "lipsum", "self._",
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
	for _, tag := range []string{"include", "import", "from", "extends"} {
		for rest := source; ; {
			_, after, ok := strings.Cut(rest, "{%")
			if !ok {
				break
			}
			rest = after
			if strings.HasPrefix(strings.TrimLeft(after, "-+ \t\r\n"), tag+" ") {
				f.Report(RuleTemplate, Suspicious, off, "the template has the tag %s, which reads another one", Quote(tag))
				return
			}
		}
	}
}

// templateCode returns what is between the delimiters of a template.
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
		code, rest, _ := strings.Cut(source[1:], end)
		b.WriteString(code)
		b.WriteByte('\n')
		source = rest
	}
}

// squeeze leaves out white space, and joins texts that are put together from pieces.
func squeeze(s string) string {
	s = strings.Join(strings.Fields(s), "")
	return strings.NewReplacer(`"~"`, "", `'~'`, "", `"+"`, "", `'+'`, "", `""`, "", "''", "").Replace(s)
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
