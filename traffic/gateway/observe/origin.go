package observe

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/gateway"
)

// origin says what a connection showed. What headers claim of it is believed only where a trusted proxy sent them.
type origin struct {
	trusted []netip.Prefix
	headers map[string]string // names of headers in canonical form, by what they say
}

// facts lists what a trusted proxy can say of its caller, with the headers that usually say it.
func facts() map[string]string {
	return map[string]string{"ip": "X-Forwarded-For", "tls": "X-Ja4", "headers": "", "asn": "", "country": "", "device": ""}
}

func newOrigin(c gateway.Observe) (*origin, error) {
	o := &origin{headers: facts()}
	for _, s := range c.Proxies {
		p, err := netip.ParsePrefix(s)
		if a, e := netip.ParseAddr(s); err != nil && e == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("gateway: observe: proxies: %q is no address and no network such as 10.0.0.0/8", s)
		}
		o.trusted = append(o.trusted, p.Masked())
	}
	for what, name := range c.Claims {
		if _, ok := o.headers[what]; !ok {
			return nil, fmt.Errorf("gateway: observe: claims: %q is none of ip, tls, headers, asn, country, device", what)
		}
		o.headers[what] = http.CanonicalHeaderKey(name)
	}
	if len(c.Claims) > 0 && len(c.Proxies) == 0 {
		return nil, fmt.Errorf("gateway: observe: claims are believed of trusted proxies only: name them in proxies")
	}
	return o, nil
}

func (o *origin) trusts(a netip.Addr) bool {
	for _, p := range o.trusted {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// client returns what is known of the connection that f came by. Its strings are f's.
func (o *origin) client(f *gateway.Finished) palladium.Client {
	host, _, _ := net.SplitHostPort(f.Remote)
	c := palladium.Client{IP: host, UserAgent: f.Header.Get("User-Agent")}
	peer, err := netip.ParseAddr(host)
	if err != nil || !o.trusts(peer) {
		return c
	}
	c.IP = o.forwarded(f.Header.Values(o.headers["ip"]), host)
	say := func(what string) string {
		if name := o.headers[what]; name != "" {
			return f.Header.Get(name)
		}
		return ""
	}
	c.TLS, c.Headers, c.Country, c.Device = say("tls"), say("headers"), say("country"), say("device")
	if n, err := strconv.ParseUint(strings.TrimPrefix(say("asn"), "AS"), 10, 32); err == nil {
		c.ASN = uint32(n)
	}
	return c
}

// forwarded returns the last address of the chain that no trusted proxy has: what stands before it is the caller's own claim.
func (o *origin) forwarded(chain []string, peer string) string {
	all := strings.Split(strings.Join(chain, ","), ",")
	for i := len(all) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(all[i]), "[]"))
		if err != nil {
			return peer
		}
		peer = a.Unmap().String()
		if !o.trusts(a) {
			return peer
		}
	}
	return peer
}
