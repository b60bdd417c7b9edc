package api

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/store/catalog"
)

func TestContractIsComplete(t *testing.T) {
	c, err := readContract(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for id, o := range c.operations {
		if seen[o.pattern()] {
			t.Errorf("%s: pattern %s twice", id, o.pattern())
		}
		seen[o.pattern()] = true
		if o.Public() != (o.Scope == ScopePublic) {
			t.Errorf("%s: public and scope %q do not go together", id, o.Scope)
		}
	}
	for name, text := range map[string]string{
		"no YAML":        "\t",
		"unknown":        strings.Replace(string(openAPI), "operationId: getMe\n", "operationId: getYou\n", 1),
		"twice":          strings.Replace(string(openAPI), "operationId: getMe\n", "operationId: getSession\n", 1),
		"missing schema": strings.Replace(string(openAPI), "    SignIn:\n", "    SignInn:\n", 1),
	} {
		if _, err := readContract([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestClientIP(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "203.0.113.9", "192.0.2.1"}, // not by a proxy of ours
		{"10.0.0.1:5", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:5", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"}, // what the caller made up stands on the left
		{"10.0.0.1:5", "nonsense", "10.0.0.1"},
		{"[2001:db8:1:2:3::4]:5", "", "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
		{"[fd00::1]:5", "2001:db8::9", "2001:db8::/64"},
		{"pipe", "", "pipe"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := ClientIP(r, proxies); got != c.want {
			t.Errorf("%s %q: %s instead of %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestSameHost(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"palladium.example.com", "Palladium.example.com", true}, {"palladium.example.com", "evil.example.com", false},
		{"127.0.0.1:8090", "localhost:8090", true}, {"127.0.0.1:8090", "[::1]:8090", true}, {"127.0.0.1:8090", "localhost:8091", false},
		{"127.0.0.1:8090", "localhost.evil.example:8090", false}, {"127.0.0.1:8090", "evil.example:8090", false}, {"palladium.example.com", "localhost", false},
	} {
		if got := SameHost(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %v", c.a, c.b, got)
		}
	}
}

func TestLimiter(t *testing.T) {
	l, now := NewLimiter(1, 3), time.Now()
	for range 3 {
		if l.Wait("a", now) != 0 {
			t.Fatal("had to wait within the burst")
		}
	}
	if w := l.Wait("a", now); w <= 0 || w > time.Second {
		t.Errorf("wait %v", w)
	}
	if l.Full("a", now) <= 0 || l.Full("b", now) != 0 {
		t.Error("Full does not say what Wait would")
	}
	if l.Wait("b", now) != 0 {
		t.Error("another one has to wait")
	}
	if l.Wait("a", now.Add(1100*time.Millisecond)) != 0 {
		t.Error("has to wait for ever")
	}
}

func TestCursor(t *testing.T) {
	type place struct {
		From int `json:"from"`
	}
	var p place
	if err := ReadCursor(Cursor(place{7}), &p); err != nil || p.From != 7 {
		t.Errorf("%v %v", p, err)
	}
	for _, bad := range []string{"!", "e30x", Cursor(map[string]int{"to": 1}), Cursor("text")} {
		if ReadCursor(bad, &p) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// No line of a stream can hold another one.
func TestLine(t *testing.T) {
	e := catalog.Event{Seq: 3, Kind: "campaign.changed", Subject: "account:a\n\nevent: forged", Refs: []string{"account:a"}, Data: []byte(`{"secret":1}`)}
	got := line(&e, true)
	if strings.Count(got, "\n\n") != 1 || strings.Contains(got, "secret") || !strings.HasPrefix(got, "id: 3\nevent: campaign.changed\ndata: {") {
		t.Errorf("%q", got)
	}
	if got := line(&e, false); strings.Contains(got, "account:a") {
		t.Errorf("%q", got)
	}
	if strings.Contains(got, `"campaign"`) {
		t.Errorf("a campaign of no event: %q", got)
	}
	of := catalog.Event{Seq: 4, Kind: "appeal.made", Subject: "appeal:p", Refs: []string{"account:a", "campaign:c1"}}
	for _, sees := range []bool{true, false} {
		if got := line(&of, sees); !strings.Contains(got, `"campaign":"c1"`) || strings.Contains(got, "account:a") != sees {
			t.Errorf("%q", got)
		}
	}
	e.Kind = "x\nid: 9"
	if line(&e, true) != "" {
		t.Error("a kind with a line break was sent")
	}
	e.Kind = "read.getAccount"
	if line(&e, true) != "" {
		t.Error("reading was told")
	}
}

func FuzzBody(f *testing.F) {
	c, err := readContract(openAPI)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("hunt", []byte(`{"filters":[{"field":"id","op":"in","value":["a"]}]}`))
	f.Add("decide", []byte(`{"measure":"slow","reason":"a.b","text":"x","expires":"2030-01-01T00:00:00Z"}`))
	f.Add("signIn", []byte(`{"user":"a","user":"b"}`))
	f.Fuzz(func(t *testing.T, op string, body []byte) {
		o := c.operations[op]
		if o == nil || o.body == nil {
			return
		}
		q := &Request{Request: httptest.NewRequest(o.method, "/", strings.NewReader(string(body))), op: o}
		q.Header.Set("Content-Type", "application/json")
		if err := q.readBody(httptest.NewRecorder(), 1<<20); err == nil && len(q.body) == 0 {
			t.Error("an empty body has the form of the contract")
		}
	})
}
