package source

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// matchJSON takes text that begins as an object or a list, or a value of a file named so.
func matchJSON(f *inspect.File) bool {
	if !isText(f) || templateName(f) {
		return false
	}
	h := bytes.TrimLeft(f.Head(), " \t\r\n")
	if f.Extension() == ".json" {
		return len(h) > 0 && bytes.IndexByte([]byte(`{["-0123456789tfn`), h[0]) >= 0
	}
	if len(h) < 2 || h[0] != '{' && h[0] != '[' {
		return false
	}
	rest := bytes.TrimLeft(h[1:], " \t\r\n")
	return len(rest) > 0 && (rest[0] == '"' || rest[0] == '}' || h[0] == '[' && bytes.IndexByte([]byte(`{["]-0123456789tfn`), rest[0]) >= 0) && f.Extension() != ".md" && f.Extension() != ".jsonl"
}

// config is the state while a JSON file is read.
type config struct {
	f       *inspect.File
	keras   kerasReader
	isKeras bool
}

func scanJSON(f *inspect.File) {
	c := config{f: f, isKeras: f.Role == inspect.RoleKeras, keras: kerasReader{f: f}}
	err := inspect.ReadJSON(f.Section(0, f.Size), c.visit)
	if err != nil {
		f.Report(inspect.RuleBroken, inspect.Unknown, -1, "the JSON cannot be read to its end: %s", inspect.Quote(err.Error()))
	}
}

func (c *config) visit(e inspect.JSONEvent) error {
	if len(e.Path) == 0 {
		return c.keras.visit(e)
	}
	name := e.Path[len(e.Path)-1]
	if e.Again {
		c.f.Report(inspect.RuleDuplicate, inspect.Suspicious, -1, "%s is there twice in one object", inspect.Quote(name))
	}
	text, isText := e.Value.(string)
	inside := func(member string) bool { return slices.Contains(e.Path, member) }
	switch {
	case name == "auto_map" && e.Value == json.Delim('{'), name == "custom_pipelines" && e.Value == json.Delim('{'):
		c.f.Report(inspect.RuleRemote, inspect.Suspicious, -1, "%s names classes in Python files, which a loader that trusts remote code runs", inspect.Quote(name))
	case inside("auto_map") && isText && strings.Contains(text, "--"):
		repository, _, _ := strings.Cut(text, "--")
		c.f.Report(inspect.RuleElse, inspect.Hostile, -1, "auto_map takes code from another repository, %s", inspect.Quote(repository))
	case strings.EqualFold(name, "trust_remote_code") && (e.Value == true || isText && strings.EqualFold(text, "true") || isText && text == "1"):
		c.f.Report(inspect.RuleRemote, inspect.Suspicious, -1, "trust_remote_code is switched on")
	case isText && (strings.HasPrefix(name, "chat_template") || inside("chat_template") && name == "template"):
		c.f.Template(text, -1)
	case isText && name == "_target_":
		c.f.Target(text, -1)
	case isText && c.f.Name() == "modules.json" && name == "type" && !strings.HasPrefix(text, "sentence_transformers."):
		c.f.Report(inspect.RuleRemote, inspect.Suspicious, -1, "a module is made by %s, which is not part of sentence-transformers", inspect.Quote(text))
	case isText && c.f.Name() == "adapter_config.json" && name == "base_model_name_or_path":
		c.elsewhere(name, text, strings.Contains(text, "://") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, `\\`) || strings.Contains(text, ".."))
	case isText && (name == "base_model_name_or_path" || name == "_name_or_path" || name == "auto_mapping" || name == "tokenizer_file" || name == "vocab_file" || name == "weight_map" || inside("weight_map")):
		c.elsewhere(name, text, strings.Contains(text, "://") || inside("weight_map") && escapes(text) || (name == "tokenizer_file" || name == "vocab_file") && strings.Contains(text, ".."))
	case isText && (name == "Regex" || name == "pattern_regex" || name == "regex"):
		if slow(text) {
			c.f.Report(inspect.RulePattern, inspect.Suspicious, -1, "the regular expression %s repeats what is repeated inside", inspect.Quote(text))
		}
	}
	return c.keras.visit(e)
}

// elsewhere reports where a configuration leads.
func (c *config) elsewhere(name, target string, out bool) {
	if out {
		c.f.Report(inspect.RuleElse, inspect.Suspicious, -1, "%s leads to %s, outside of the model", inspect.Quote(name), inspect.Quote(target))
	}
}

func escapes(p string) bool {
	return strings.HasPrefix(p, "/") || strings.Contains(p, "..") || strings.Contains(p, `\`)
}

// slow finds groups that are repeated without end and hold such a repetition themselves: (a+)+, (a*b?)*. They take
// exponential time in engines that backtrack.
func slow(pattern string) bool {
	if len(pattern) > 64<<10 {
		return true
	}
	// Classes and escapes become one letter each.
	p := regexp.MustCompile(`\\.|\[(?:\\.|[^\]\\])*\]`).ReplaceAllString(pattern, "x")
	return regexp.MustCompile(`\((?:\?:)?(?:x|[^()|])[+*]\??\)[+*]|\((?:\?:)?[^()|]*(?:x|[^()|])[+*]\)(?:[+*]|\{\d+,\})`).MatchString(p) && !regexp.MustCompile(`\)[+*]\+`).MatchString(p)
}

// The bounds of the search for configurations, in bytes: of one, and of all that are tried.
const (
	maxKeras = 64 << 20
	maxTried = 1 << 30
)
