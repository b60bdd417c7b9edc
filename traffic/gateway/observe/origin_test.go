package observe

import (
	"net/http"
	"testing"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

func TestOrigin(t *testing.T) {
	o, err := newOrigin(gateway.Observe{Proxies: []string{"10.0.0.0/8", "::1"}, Claims: map[string]string{"tls": "x-ja4", "asn": "x-asn"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		remote  string
		chain   []string
		ip, tls string
		asn     uint32
	}{
		"no proxy: claims are ignored":          {"198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7", "", 0},
		"a proxy's word":                        {"10.1.1.1:1", []string{"203.0.113.9"}, "203.0.113.9", "t13d", 64500},
		"the caller claims an address before":   {"10.1.1.1:1", []string{"192.0.2.1, 203.0.113.9"}, "203.0.113.9", "t13d", 64500},
		"two proxies in a row, in two headers":  {"10.1.1.1:1", []string{"192.0.2.1, 203.0.113.9", "10.2.2.2"}, "203.0.113.9", "t13d", 64500},
		"nothing but proxies":                   {"[::1]:1", []string{"10.3.3.3"}, "10.3.3.3", "t13d", 64500},
		"a chain that is none":                  {"10.1.1.1:1", []string{"unknown"}, "10.1.1.1", "t13d", 64500},
		"a proxy that says nothing of a caller": {"10.1.1.1:1", nil, "10.1.1.1", "t13d", 64500},
	} {
		h := http.Header{"X-Forwarded-For": c.chain, "X-Ja4": {"t13d"}, "X-Asn": {"AS64500"}, "User-Agent": {"a/1"}}
		got := o.client(&gateway.Finished{Remote: c.remote, Header: h})
		if got.IP != c.ip || got.TLS != c.tls || got.ASN != c.asn || got.UserAgent != "a/1" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, c := range []gateway.Observe{
		{Proxies: []string{"here"}}, {Proxies: []string{"10.0.0.0/8"}, Claims: map[string]string{"age": "x"}}, {Claims: map[string]string{"tls": "x"}},
	} {
		if _, err := newOrigin(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
