package serve

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/palladium-guard/palladium/config"
)

// keys lists the keys below a type as documents write them, with the value of each where v holds one.
func keys(t reflect.Type, v reflect.Value, path string, out map[string]reflect.Value) {
	for t.Kind() == reflect.Pointer {
		t, v = t.Elem(), reflect.Value{}
	}
	switch {
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		keys(t.Elem(), reflect.Value{}, path+".*", out)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		keys(t.Elem(), reflect.Value{}, path+"[]", out)
	case t.Kind() != reflect.Struct:
		out[path] = v
	default:
		for i := range t.NumField() {
			f, value := t.Field(i), reflect.Value{}
			if v.IsValid() {
				value = v.Field(i)
			}
			name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				keys(f.Type, value, path, out)
			case f.IsExported() && name != "-":
				keys(f.Type, value, strings.TrimPrefix(path+"."+name, "."), out)
			}
		}
	}
}

// Every key of the sections that gateway.md does not tell of has a row in the manual, and every row is a key; a default in
// backquotes is the one that is in force.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "serve.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, manual, ok := strings.Cut(string(text), "\n## Every key\n")
	if !ok {
		t.Fatal("the section is gone")
	}
	f := &config.File{}
	Fill(f, "STATE")
	if err := fillAll(f); err != nil {
		t.Fatal(err)
	}
	there := map[string]reflect.Value{}
	elsewhere := []string{"gateway", "credentials", "restrict", "budget"}
	all := reflect.ValueOf(f).Elem()
	for i := range all.NumField() {
		if name := all.Type().Field(i).Tag.Get("yaml"); !slices.Contains(elsewhere, name) {
			keys(all.Field(i).Type(), all.Field(i), name, there)
		}
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_0-9.*\\[\\]]+)` \\| ([^|]+) \\|([^|]*)\\| ([^|]+) \\|$")
	said := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(manual, -1) {
		key, unit, standard, what := m[1], m[2], strings.TrimSpace(m[3]), m[4]
		v, ok := there[key]
		if !ok {
			t.Errorf("the manual has %s, which is no key", key)
			continue
		}
		if said[key] {
			t.Errorf("the manual has %s twice", key)
		}
		if said[key] = true; strings.TrimSpace(unit) == "" || strings.TrimSpace(what) == "" {
			t.Errorf("%s: say its unit and what it does", key)
		}
		written, quoted := strings.CutPrefix(standard, "`")
		if !v.IsValid() || !quoted {
			if v.IsValid() && !v.IsZero() {
				t.Errorf("%s: the default %v is not in the manual", key, v)
			}
			continue
		}
		want := reflect.New(v.Type())
		if err := yaml.Unmarshal([]byte(strings.TrimSuffix(written, "`")), want.Interface()); err != nil || !reflect.DeepEqual(want.Elem().Interface(), v.Interface()) {
			t.Errorf("%s: the manual says %s, in force is %v (%v)", key, standard, v, err)
		}
	}
	for key := range there {
		if !said[key] {
			t.Errorf("the manual lacks %s", key)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(manual, -1) {
		if !said[m[1]] && !strings.HasPrefix(m[1], "OTEL_") {
			t.Errorf("row of %s is not of the form: key, unit, default, what it says", m[1])
		}
	}
}
