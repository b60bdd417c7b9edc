package notify

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

type inbox struct{ got chan string }

func (b inbox) NewSession(*smtp.Conn) (smtp.Session, error) { return session(b), nil }

type session inbox

func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (s session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.got <- string(b)
	return err
}

func TestMail(t *testing.T) {
	box := inbox{make(chan string, 1)}
	srv := smtp.NewServer(box)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	c := Config{Sinks: []Sink{{Name: "mail", Allow: []string{"127.0.0.0/8"}, Mail: &Mail{Server: l.Addr().String(), From: "p@example.com", To: []string{"ops@example.com"}, Security: "insecure-none"}}}}
	if said, err := openQuick(t, nil, c).Try(t.Context(), "mail"); err != nil {
		t.Fatalf("%s: %v", said, err)
	}
	if text := <-box.got; !strings.Contains(text, "<msg_") || !strings.Contains(text, "Auto-Submitted: auto-generated") {
		t.Errorf("the mail is %s", text)
	}
	c.Sinks[0].Mail.Security = "" // the server offers no STARTTLS: nothing is sent in the clear
	if _, err := openQuick(t, nil, c).Try(t.Context(), "mail"); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("without STARTTLS: %v", err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestSyslogToRsyslog(t *testing.T) {
	bin, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("rsyslogd is not installed")
	}
	dir, at := t.TempDir(), freePort(t)
	_, port, _ := net.SplitHostPort(at)
	conf := `module(load="imtcp")
template(name="all" type="string" string="%pri% %app-name% %msgid% %structured-data% %msg%\n")
input(type="imtcp" address="127.0.0.1" port="` + port + `")
*.* action(type="omfile" file="` + filepath.Join(dir, "out") + `" template="all")
`
	if err := os.WriteFile(filepath.Join(dir, "c"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, bin, "-n", "-f", filepath.Join(dir, "c"), "-i", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); _ = cmd.Wait() }()
	until(t, "rsyslogd to listen", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	c := Config{Sinks: []Sink{{Name: "log", Allow: []string{"127.0.0.0/8"}, Syslog: &Syslog{Address: at, Network: "tcp"}}}}
	n := openQuick(t, nil, c)
	m := Sample(time.Now(), "")
	m.fact("says", `odd "value" ] \ here`)
	if _, err := n.workers()[0].send(t.Context(), "msg_1", m); err != nil {
		t.Fatal(err)
	}
	var out []byte
	until(t, "the line", func() bool {
		out, _ = os.ReadFile(filepath.Join(dir, "out"))
		return strings.Contains(string(out), "palladium test [palladium@32473")
	})
	if !strings.Contains(string(out), `says="odd \"value\" \] \\ here"`) {
		t.Errorf("rsyslogd wrote %s", out)
	}
}

func TestAlertmanager(t *testing.T) {
	bin, err := exec.LookPath("alertmanager")
	if err != nil {
		t.Skip("alertmanager is not installed")
	}
	dir, at := t.TempDir(), freePort(t)
	if err := os.WriteFile(filepath.Join(dir, "c.yml"), []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, bin, "--config.file", filepath.Join(dir, "c.yml"), "--storage.path", dir, "--web.listen-address", at, "--cluster.listen-address", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); _ = cmd.Wait() }()
	c := Config{Sinks: []Sink{{Name: "am", Allow: []string{"127.0.0.0/8"}, Alertmanager: &Alertmanager{URLs: []string{"http://" + at}, InsecureHTTP: true}}}}
	n := openQuick(t, nil, c)
	until(t, "alertmanager to take an alert", func() bool { _, err = n.Try(t.Context(), "am"); return err == nil })
}
