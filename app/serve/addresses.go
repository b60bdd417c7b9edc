package serve

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/palladium-guard/palladium/config"
)

// place is where a part wants to listen.
type place struct{ key, address string }

// places are where the parts listen that run here; "" for those that do not.
func (h *house) places(f *config.File) []place {
	var out []place
	add := func(runs bool, key, address string) {
		if runs && address != "" {
			out = append(out, place{key, address})
		}
	}
	add(h.runs(RoleGateway), "gateway.listen", cmp.Or(h.o.Listen, f.Gateway.Listen, "127.0.0.1:8080"))
	add(true, "gateway.admin.listen", cmp.Or(h.o.Admin, f.Gateway.Admin.Listen))
	add(h.runs(RoleAPI) && !f.API.Off, "api.listen", cmp.Or(h.o.API, f.API.Listen, defaultAPI))
	add(h.runs(RoleCheck), "check.http", f.Check.HTTP)
	add(h.runs(RoleCheck), "check.grpc", f.Check.GRPC)
	add(h.runs(RoleDetector), "taps.otlp.grpc", f.Taps.OTLP.GRPC)
	add(h.runs(RoleDetector), "taps.otlp.http", f.Taps.OTLP.HTTP)
	add(f.Stream.Cluster.Name != "", "stream.cluster.listen", f.Stream.Cluster.Listen)
	return out
}

// addresses says which listeners have no address that can be listened on, and which two want the same.
func (h *house) addresses(f *config.File) error {
	var errs []error
	type taken struct {
		place
		host string
		port int
	}
	var before []taken
	for _, p := range h.places(f) {
		host, text, err := net.SplitHostPort(p.address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is no address to listen on: write host:port, such as 127.0.0.1:8080, or :8080 for all addresses of this machine", p.key, config.Masked(p.key, p.address)))
			continue
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			port, err = net.LookupPort("tcp", text)
		}
		if err != nil || port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("%s: %q is no port: write a number from 1 to 65535", p.key, text))
			continue
		}
		for _, o := range before {
			if port != 0 && port == o.port && same(host, o.host) {
				errs = append(errs, fmt.Errorf("%s: %s is where %s listens already (%s): give one of them another port", p.key, p.address, o.key, o.address))
				break
			}
		}
		before = append(before, taken{p, host, port})
	}
	return errors.Join(errs...)
}

// same reports whether who listens on one host keeps others from the other one's port.
func same(a, b string) bool {
	all := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	if a == "localhost" {
		a = "127.0.0.1"
	}
	if b == "localhost" {
		b = "127.0.0.1"
	}
	return a == b || all(a) || all(b)
}
