package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Harden sets the headers that keep browsers from doing anything with an answer but show its data to this site.
func Harden(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// checkHost refuses requests that mean another site: a name of somebody else's that leads here would make their page ours.
func (s *Server) checkHost(r *http.Request) error {
	if s.origin == nil || SameHost(s.origin.Host, r.Host) {
		return nil
	}
	return &Problem{Status: http.StatusMisdirectedRequest, Code: "misdirected", Detail: "this site is reached as " + s.origin.Scheme + "://" + s.origin.Host}
}

// SameHost reports whether two hosts, with their ports, are one. All names of this machine for itself are.
func SameHost(a, b string) bool {
	return strings.EqualFold(loopback(a), loopback(b))
}

func loopback(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	if strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback() {
		return "localhost:" + port
	}
	return host
}

// checkOrigin refuses what a page of another site makes a browser send. Browsers say where a request comes from in
// Sec-Fetch-Site, older ones in Origin; a request with a cookie that would change something must say so in one of them.
func (s *Server) checkOrigin(q *Request) error {
	safe := q.Method == http.MethodGet || q.Method == http.MethodHead
	site, origin := q.Header.Get("Sec-Fetch-Site"), q.Header.Get("Origin")
	foreign := &Problem{Status: http.StatusForbidden, Code: "cross_site", Detail: "requests from pages of other sites are refused"}
	switch {
	case q.op.ID == "finishOIDC": // the identity provider sends the browser; its state is checked instead
		return nil
	case site != "":
		if site == "same-origin" || safe && site == "none" {
			return nil
		}
		return foreign
	case origin != "":
		if s.ours(q.Request, origin) {
			return nil
		}
		return foreign
	case safe || !q.session:
		return nil
	}
	return foreign
}

// ours reports whether origin is this site's.
func (s *Server) ours(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if s.origin != nil {
		return u.Scheme == s.origin.Scheme && SameHost(u.Host, s.origin.Host)
	}
	return strings.EqualFold(u.Host, r.Host)
}

// ClientIP returns the address that sent r, or the /64 of an IPv6 address: whoever has one has all of them. Proxies that
// are trusted are looked through.
func (s *Server) ClientIP(r *http.Request) string { return ClientIP(r, s.o.Proxies) }

// ClientIP returns the address that sent r, looking through the proxies that are trusted; of an IPv6 address its /64.
func ClientIP(r *http.Request, proxies []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	trusted := func(a netip.Addr) bool {
		for _, p := range proxies {
			if p.Contains(a.Unmap()) {
				return true
			}
		}
		return false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusted(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next
	}
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
