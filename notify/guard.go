package notify

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// ErrAddress is wrapped by errors of sinks whose name leads to an address that is not public and not allowed.
var ErrAddress = errors.New("address refused")

// dialer connects to public addresses, and to those of allow. The check is made on the address that is about to be connected to,
// after the name was resolved, so that a name that changes its address meanwhile gains nothing.
func dialer(allow []netip.Prefix, timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: it cannot be read", ErrAddress)
		}
		ip := at.Addr().WithZone("").Unmap()
		if public(ip) || slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			return nil
		}
		return fmt.Errorf("%w: %s is not public: if it is meant, add its network to the sink's allow", ErrAddress, ip)
	}}
}

// public reports whether an address is one of the internet at large (IANA's registries of special-purpose addresses). Addresses
// of version 6 that stand for one of version 4 are judged by that.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() { // loopback, link-local, multicast, unspecified, broadcast; RFC 1918, fc00::/7
		return false
	}
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(s).Contains(ip) {
			return false
		}
	}
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip): // NAT64
		return public(netip.AddrFrom4([4]byte(b[12:16])))
	case netip.MustParsePrefix("2002::/16").Contains(ip): // 6to4
		return public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return true
}

// config reads the files behind a sink's TLS. host is the name that its certificate must bear where none is given.
func (t *TLS) config(host string) (*tls.Config, error) {
	c, err := t.Files.Config()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.ServerName = cmp.Or(t.Name, host)
	return c, nil
}
