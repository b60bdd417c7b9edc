package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		s             Server
		address, want string
	}{
		{Server{}, "127.0.0.1:1", ""},
		{Server{}, "[::1]:1", ""},
		{Server{}, "localhost:1", ""},
		{Server{}, ":1", "from elsewhere"},
		{Server{}, "example.com:1", "from elsewhere"},
		{Server{}, "0.0.0.0:1", "from elsewhere"},
		{Server{TokenFile: "t"}, "0.0.0.0:1", ""},
		{Server{Insecure: true}, ":1", ""},
		{Server{Certificate: "c", Key: "k"}, ":1", "from elsewhere"},
		{Server{Certificate: "c", Key: "k", ClientCA: "a"}, ":1", ""},
		{Server{Key: "k"}, "127.0.0.1:1", "together"},
		{Server{ClientCA: "k"}, "127.0.0.1:1", "needs certificate"},
		{Server{}, "127.0.0.1", "host:port"},
	} {
		err := c.s.Check(c.address)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v on %s: %v, wanted %q", c.s, c.address, err, c.want)
		}
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("# none\n\n")
	if _, err := Open(Server{TokenFile: file}); err == nil || !strings.Contains(err.Error(), "holds none") {
		t.Fatalf("an empty file: %v", err)
	}
	put("0123456789abcdef\r\n\n# new\n  fedcba9876543210\n")
	k, err := Open(Server{TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		"Bearer 0123456789abcdef": true, "bearer  fedcba9876543210 ": true, "0123456789abcdef": true, "Basic 0123456789abcdef": false,
		"": false, "Bearer ": false, "Bearer # new": false, "Bearer 0123456789abcde": false,
	} {
		if k.Allows(value) != want {
			t.Errorf("%q: allowed %v", value, !want)
		}
	}
	put("short")
	if err := k.Reload(); err == nil || !k.Allows("0123456789abcdef") {
		t.Errorf("a bad file was taken: %v", err)
	}
	if open, err := Open(Server{}); err != nil || !open.Allows("") || open.TLS() != nil || len(open.files.Files()) != 0 {
		t.Errorf("without files: %v", err)
	}
}
