package urlpath

import "testing"

func TestPlain(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/chat": true, "/a.b/c..d": true, "/v1/models/org:m@1": true,
		"": false, "/": false, "v1": false, "/v1/": false, "//v1": false, "/v1/./x": false, "/v1/..": false, "/v1/%2e": false, "/v1;x": false,
		"/v1\\x": false, "/v1 x": false, "/v1\x00": false, "/vé": false, "/v1?x": false, "/v1#x": false,
	} {
		if Plain(path) != want {
			t.Errorf("%q: plain %v", path, !want)
		}
	}
}
