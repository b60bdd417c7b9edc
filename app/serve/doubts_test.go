package serve

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Listeners that cannot be, and files that will not do, are told before anything starts.
func TestWrongPlaces(t *testing.T) {
	const head = "gateway: {listen: \"127.0.0.1:8080\", upstreams: [{url: \"http://127.0.0.1:8000\"}]}\ncredentials: {keys: k}\n"
	for name, c := range map[string]struct {
		more, want string // want is part of the error; empty for none
	}{
		"apart":           {"api: {listen: \"127.0.0.1:8081\"}", ""},
		"same":            {"api: {listen: \"127.0.0.1:8080\"}", "line 3: api.listen: 127.0.0.1:8080 is where gateway.listen listens already"},
		"by name":         {"api: {listen: \"localhost:8080\"}", "is where gateway.listen listens already"},
		"all addresses":   {"api: {listen: \":8080\"}", "give one of them another port"},
		"another address": {"api: {listen: \"127.0.0.2:8080\"}", ""},
		"any port":        {"taps: {otlp: {http: \"127.0.0.1:0\", grpc: \"127.0.0.1:0\"}}", ""},
		"both of a tap":   {"taps: {otlp: {http: \"127.0.0.1:4317\", grpc: \"127.0.0.1:4317\"}}", "taps.otlp.http: 127.0.0.1:4317 is where taps.otlp.grpc"},
		"no port":         {"api: {listen: \"127.0.0.1\"}", "line 3: api.listen: \"127.0.0.1\" is no address to listen on: write host:port"},
		"large port":      {"api: {listen: \"127.0.0.1:70000\"}", "\"70000\" is no port: write a number"},
		"off":             {"api: {off: true, listen: \"127.0.0.1:8080\"}", ""},
		"catalog":         {"catalog: {url: \"mysql://h/d\"}", "line 3: catalog: url must be sqlite:FILE, or postgres://"},
		"issuer":          {"sign_in: {oidc: {issuer: \"http://x\"}}", "line 3: sign_in.oidc.issuer \"http://x\" must be an https address"},
		"two things":      {"stream: {replicas: 2}\ndetector: {without: [x]}", "line 4: detector: without: \"x\" is no family"},
		"two things, too": {"stream: {replicas: 2}\ndetector: {without: [x]}", "line 3: stream configuration refused: stream.replicas"},
	} {
		err := Explain(io.Discard, Options{Config: put(t, t.TempDir(), "p.yaml", head+c.more)}, false, func(string) {})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDoubts(t *testing.T) {
	dir := t.TempDir()
	open := put(t, dir, "open.token", "a-token-that-anybody-can-read")
	shut := put(t, dir, "shut.token", "a-token-that-nobody-can-read")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		mode os.FileMode // of the file itself
		want string      // part of the only doubt; empty for none
	}{
		"none":             {"credentials: {keys: k}", 0o600, ""},
		"no credentials":   {"{}", 0o600, "credentials: no way is given in which callers are known"},
		"certificate":      {"credentials: {keys: k}\napi: {certificate: none.pem, key: none.key}", 0o600, "line 2: api.certificate: read the certificate: open none.pem"},
		"authorities":      {"credentials: {keys: k}\nstream: {url: \"tls://h\", tls: {ca: none.pem}}\nmeasuring_key: m\ncatalog: {url: \"postgres://h/d\"}", 0o600, "line 2: stream.tls.ca: read the authorities"},
		"no such secret":   {"credentials: {keys: k}\ncatalog: {password_file: canary-password}", 0o600, "line 2: catalog.password_file: there is no such file: put the secret into a file"},
		"a folder":         {"credentials: {keys: k}\ncatalog: {password_file: " + dir + "}", 0o600, "it is a folder"},
		"anybody's secret": {"credentials: {keys: k}\ncatalog: {password_file: " + open + "}", 0o600, "line 2: catalog.password_file: anybody on this machine can use"},
		"kept secret":      {"credentials: {keys: k}\ncatalog: {password_file: " + shut + "}", 0o600, ""},
		"inline, open":     {"credentials: {keys: k}\ncatalog: {url: \"postgres://u:canary-password@h/d\"}", 0o644, "line 2: catalog.url: the value holds a secret: anybody on this machine can use"},
		"inline, shut":     {"credentials: {keys: k}\ncatalog: {url: \"postgres://u:canary-password@h/d\"}", 0o600, ""},
		"budget by check":  {"credentials: {keys: k}\ncheck: {http: \"127.0.0.1:0\", account: {header: x-a}}\nenforcement: {mode: enforce}", 0o600, ""},
		"model by check":   {"credentials: {keys: k}\ncheck: {http: \"127.0.0.1:0\", account: {header: x-a}}\nenforcement: {mode: enforce, stages: {act: {measure: withhold}}}", 0o600, "enforcement.stages.act leads to withhold, which a check tells and does not enforce"},
		"a key of its own": {"credentials: {keys: k}\nstream: {url: \"tls://h\"}\ncatalog: {url: \"postgres://h/d\"}", 0o600, "measuring_key: processes that share a stream need one key"},
		"catalogs apart":   {"credentials: {keys: k}\nstream: {url: \"tls://h\"}\nmeasuring_key: m", 0o600, "catalog.url: detectors and APIs that share a stream need one catalog"},
		"shadowed checks":  {"credentials: {keys: k}\ncheck: {http: \"127.0.0.1:0\", account: {header: x-a}}", 0o600, ""},
		"file of verdicts": {"credentials: {keys: k}\ngateway: {verdicts: {file: v}}", 0o600, "gateway.verdicts.file is set, but verdicts come from the detector"},
		"observed apart":   {"credentials: {keys: k}\ngateway: {observe: {dir: d}}", 0o600, "gateway.observe.dir is set, but observations go to the stream"},
		"nothing inline":   {"credentials: {keys: k}\ncatalog: {url: \"postgres://u@h/d\"}", 0o644, ""},
	} {
		file := put(t, t.TempDir(), "p.yaml", c.text)
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := Explain(io.Discard, Options{Config: file, State: filepath.Join(dir, "state"), Upstreams: []string{"http://127.0.0.1:8000"}}, false, func(d string) { got = append(got, d) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all := strings.Join(got, "; ")
		if len(got) > 1 || (all == "") != (c.want == "") || !strings.Contains(all, c.want) || strings.Contains(all, "canary") {
			t.Errorf("%s: %q, wanted %q", name, got, c.want)
		}
	}
}

// Roles in processes of their own have ledgers of their own, which is told to each.
func TestLedgersApart(t *testing.T) {
	file := put(t, t.TempDir(), "p.yaml", "credentials: {keys: k}\nstream: {url: \"tls://h\"}\nmeasuring_key: m\ncatalog: {url: \"postgres://h/d\"}\n")
	for _, c := range []struct {
		roles []Role
		apart bool
	}{{[]Role{RoleDetector}, true}, {[]Role{RoleAPI}, true}, {[]Role{RoleDetector, RoleAPI}, false}, {[]Role{RoleGateway}, false}} {
		var got []string
		err := Explain(io.Discard, Options{Config: file, Roles: c.roles, Upstreams: []string{"http://127.0.0.1:8000"}}, false, func(d string) { got = append(got, d) })
		if all := strings.Join(got, "; "); err != nil || strings.Contains(all, "write a log each") != c.apart {
			t.Errorf("%v: %q, %v", c.roles, all, err)
		}
	}
}
