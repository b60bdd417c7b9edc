package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// toward makes a sink of each kind that goes to host:port, with nothing allowed that is not public.
func toward(t *testing.T, host string, port int) map[string]Sink {
	at := net.JoinHostPort(host, strconv.Itoa(port))
	t.Setenv("NOTIFY_TEST_SECRET", NewSecret())
	t.Setenv("NOTIFY_TEST_URL", "http://"+at+"/services/x")
	return map[string]Sink{
		"webhook":      {Webhook: &Webhook{URL: "http://" + at + "/", SecretEnv: "NOTIFY_TEST_SECRET", InsecureHTTP: true}},
		"slack":        {Slack: &Slack{URLEnv: "NOTIFY_TEST_URL", InsecureHTTP: true}},
		"alertmanager": {Alertmanager: &Alertmanager{URLs: []string{"http://" + at}, InsecureHTTP: true}},
		"syslog":       {Syslog: &Syslog{Address: at, Network: "tcp"}},
		"syslog-tls":   {Syslog: &Syslog{Address: at}},
		"syslog-udp":   {Syslog: &Syslog{Address: at, Network: "udp"}},
		"mail":         {Mail: &Mail{Server: at, From: "p@example.com", To: []string{"o@example.com"}, Security: "insecure-none"}},
		"mail-tls":     {Mail: &Mail{Server: at, From: "p@example.com", To: []string{"o@example.com"}, Security: "tls"}},
	}
}

// inside listens on every address of this machine and counts who comes.
func inside(t *testing.T) (port int, came *atomic.Int64) {
	t.Helper()
	came = &atomic.Int64{}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	p, err := net.ListenPacket("udp", ":"+strconv.Itoa(port))
	if err != nil {
		t.Skip("the port is taken for UDP")
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = c.Close()
		}
	}()
	go func() {
		b := make([]byte, 100)
		for {
			if _, _, err := p.ReadFrom(b); err != nil {
				return
			}
			came.Add(1)
		}
	}()
	return port, came
}

// No sink of any kind reaches what is not public, in whatever way it is written.
func TestNoSinkGoesInside(t *testing.T) {
	port, came := inside(t)
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "localhost", "0.0.0.0", "0", "::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1",
		"127.1", "2130706433", "0x7f000001", "0177.0.0.1", "169.254.169.254", "fd00:ec2::254", "fe80::1%lo", "100.100.100.200", "10.0.0.1", "192.168.0.1", "172.31.255.255", "224.0.0.1",
	} {
		for kind, s := range toward(t, host, port) {
			s.Name, s.Timeout = "x", 2*time.Second
			c := Config{Sinks: []Sink{s}}
			if err := c.Check(); err != nil {
				continue // refused as it is written
			}
			n, err := Open(Options{Config: c})
			if err != nil {
				continue
			}
			_, err = n.Try(t.Context(), "x")
			if err == nil {
				t.Errorf("%s to %s: it was sent", kind, host)
			} else if _, e := netip.ParseAddr(host); e == nil && !strings.Contains(err.Error(), "is not public") {
				t.Errorf("%s to %s fails for another reason: %v", kind, host, err)
			}
		}
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d connections came in", n)
	}
}

// Whatever the status and wherever it leads, a redirect is an answer and no way.
func TestRedirectsAreNotFollowed(t *testing.T) {
	port, came := inside(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"http://127.0.0.1:" + strconv.Itoa(port) + "/", "http://169.254.169.254/latest/meta-data/", "//localhost:" + strconv.Itoa(port) + "/", "gopher://127.0.0.1:" + strconv.Itoa(port), "file:///etc/passwd"} {
			away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}))
			_, port, _ := net.SplitHostPort(away.Listener.Addr().String())
			number, _ := strconv.Atoi(port)
			for _, kind := range []string{"webhook", "slack", "alertmanager"} {
				s := toward(t, "127.0.0.1", number)[kind]
				s.Name, s.Allow = "x", []string{"127.0.0.0/8"} // where it leads would be allowed, and is not gone to all the same
				_, err := openQuick(t, nil, Config{Sinks: []Sink{s}}).Try(t.Context(), "x")
				if err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
					t.Errorf("%s, %d to %s: %v", kind, status, to, err)
				}
			}
			away.Close()
		}
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A proxy of the environment could go where Palladium does not: none is used.
func TestNoProxy(t *testing.T) {
	port, came := inside(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+strconv.Itoa(port))
	}
	for kind, s := range toward(t, "10.255.255.1", 80) {
		s.Name = "x"
		if _, err := openQuick(t, nil, Config{Sinks: []Sink{s}}).Try(t.Context(), "x"); err == nil || came.Load() != 0 {
			t.Errorf("%s: %v, %d came", kind, err, came.Load())
		}
	}
}

// names is a DNS server that gives each question the next of the answers.
func names(t *testing.T, answers ...netip.Addr) (asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				at := answers[min(int(asked.Add(1)), len(answers))-1]
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: at.As4()}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = l.WriteTo(out, from)
			}
		}
	}()
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", l.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = was })
	return asked
}

// A name that led to an allowed address when it was first asked leads inside afterwards: what is connected to is what is checked.
func TestANameThatChangesItsAddress(t *testing.T) {
	good, evil := 0, 0
	serve := func(at string, n *int) net.Listener {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { *n++; w.Header().Set("Connection", "close") })}}
		s.Start()
		t.Cleanup(s.Close)
		return l
	}
	_, port, _ := net.SplitHostPort(serve("127.0.0.2:0", &good).Addr().String())
	serve("127.0.0.3:"+port, &evil)
	asked := names(t, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"))
	t.Setenv("NOTIFY_TEST_SECRET", NewSecret())
	c := webhookSink("http://soc.rebinding.example:" + port)
	c.Sinks[0].Allow = []string{"127.0.0.2/32"}
	n := openQuick(t, nil, c)
	if _, err := n.Try(t.Context(), "soc"); err != nil || good != 1 {
		t.Fatalf("the first, %d there: %v", good, err)
	}
	for range 3 {
		if _, err := n.Try(t.Context(), "soc"); err == nil || !strings.Contains(err.Error(), "127.0.0.3 is not public") {
			t.Errorf("after the name changed: %v", err)
		}
	}
	if evil != 0 || asked.Load() < 4 {
		t.Errorf("%d requests inside, the name was asked for %d times", evil, asked.Load())
	}
}

// Passwords, other hosts and odd schemes in an address are refused as they are written, and never quoted.
func TestAddressesThatAreRefusedAsWritten(t *testing.T) {
	t.Setenv("NOTIFY_TEST_SECRET", NewSecret())
	for _, at := range []string{
		"https://example.com@127.0.0.1/", "https://user:hunter2@example.com/", "https://example.com:443@[::1]/", "https://@127.0.0.1/", "ftp://example.com/", "gopher://127.0.0.1:25/_", "file:///etc/passwd",
		"https:///hook", "https://", "//example.com/hunter2", "http://example.com/hunter2", "https://exa mple.com/", "https://[::1/", "javascript:1", "",
	} {
		s := Sink{Name: "x", Webhook: &Webhook{URL: at, SecretEnv: "NOTIFY_TEST_SECRET"}}
		err := (&Config{Sinks: []Sink{s}}).Check()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("webhook %s: %v", at, err)
		}
		err = (&Config{Sinks: []Sink{{Name: "x", Alertmanager: &Alertmanager{URLs: []string{at}}}}}).Check()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("alertmanager %s: %v", at, err)
		}
		if at == "" {
			continue
		}
		t.Setenv("NOTIFY_TEST_URL", at)
		_, err = Open(Options{Config: Config{Sinks: []Sink{{Name: "x", Slack: &Slack{URLEnv: "NOTIFY_TEST_URL"}}}}})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("slack %s: %v", at, err)
		}
	}
}

// The error of an address that is refused can be told from others.
func TestErrAddress(t *testing.T) {
	_, err := dialer(nil, time.Second).DialContext(t.Context(), "tcp", "127.0.0.1:9")
	if !errors.Is(err, ErrAddress) {
		t.Errorf("%v", err)
	}
}
