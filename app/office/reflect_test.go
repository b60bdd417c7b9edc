package office_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/api"
)

// hostileBody fills a schema: every text of it, also where it should be a number or one of a few words, is what a thief writes.
func hostileBody(doc map[string]any, schema map[string]any, depth int) any {
	if ref, ok := schema["$ref"].(string); ok {
		var at any = doc
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[part]
		}
		return hostileBody(doc, at.(map[string]any), depth)
	}
	if depth > 6 {
		return hostile
	}
	if props, ok := schema["properties"].(map[string]any); ok {
		out := map[string]any{}
		for name, p := range props {
			out[name] = hostileBody(doc, p.(map[string]any), depth+1)
		}
		return out
	}
	switch schema["type"] {
	case "array":
		items, _ := schema["items"].(map[string]any)
		return []any{hostileBody(doc, items, depth+1)}
	case "boolean":
		return true
	case "integer", "number":
		return 1
	case "object":
		return map[string]any{hostile: hostile}
	}
	return hostile
}

// Every operation, sent what a thief writes in every text of its body, its path and its parameters, gives back no tag.
func TestReflected(t *testing.T) {
	if testing.Short() {
		t.Skip("sends some hundred requests")
	}
	r := start(t)
	r.people()
	var doc map[string]any
	if err := json.Unmarshal(r.client().raw(http.MethodGet, "/openapi.json", nil).body, &doc); err != nil {
		t.Fatal(err)
	}
	sent, texts := 0, 0
	check := func(op string, got *reply) {
		t.Helper()
		sent++
		if got.status >= 500 && got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d: %.200s", op, got.status, got.body)
		}
		if kind := got.header.Get("Content-Type"); len(got.body) > 0 && (!strings.HasPrefix(kind, "application/") && !strings.HasPrefix(kind, "text/plain") || got.header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s: %s", op, kind)
		}
		if strings.ContainsAny(string(got.body), "<>") && !strings.HasPrefix(got.header.Get("Content-Type"), "application/zip") {
			t.Errorf("%s gives a tag back: %.300s", op, got.body)
		}
		for name, values := range got.header {
			if v := strings.Join(values, ""); strings.Contains(v, "<script") {
				t.Errorf("%s gives a tag back in %s: %s", op, name, v)
			}
		}
	}
	for path, item := range doc["paths"].(map[string]any) {
		for method, raw := range item.(map[string]any) {
			op, ok := raw.(map[string]any)
			if !ok {
				continue
			}
			id := op["operationId"].(string)
			row := r.row(id)
			if id == "signOut" || id == "streamEvents" { // the one ends the sessions of this test, the other does not end
				continue
			}
			who := r.client()
			if !row.Public() {
				who = r.users[row.Roles[0]]
			}
			method = strings.ToUpper(method)
			var body any
			if b, ok := op["requestBody"].(map[string]any); ok {
				schema := b["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
				body = hostileBody(doc, schema, 0)
				// All at once, and each text alone.
				check(id, who.raw(method, where(path), body))
				fields, _ := body.(map[string]any)
				for name, v := range fields {
					texts++
					check(id+" "+name, who.raw(method, where(path), map[string]any{name: v}))
				}
			}
			check(id+" path", who.raw(method, strings.NewReplacer("{id}", esc(hostile), "{family}", esc(hostile), "{i}", esc(hostile), "{path}", esc(hostile)).Replace(path), body))
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				name, _ := p.(map[string]any)["name"].(string)
				if in := p.(map[string]any)["in"]; in != "query" || name == "" {
					continue
				}
				texts++
				check(id+" "+name, who.raw(method, where(path)+"?"+name+"="+esc(hostile), body))
			}
			check(id+" cursor", who.raw(method, where(path)+"?cursor="+esc(hostile)+"&limit="+esc(hostile), body))
		}
	}
	t.Logf("%d requests, %d texts", sent, texts)
	if texts < 100 || sent < len(api.Operations()) {
		t.Errorf("%d texts in %d requests: the document was not understood", texts, sent)
	}
}
