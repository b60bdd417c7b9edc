package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

type mail struct {
	c    *Mail
	opts []gomail.Option
	host string
	site string
}

func newMail(t *target, password, site string) (sender, error) {
	c := t.sink.Mail
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("server: %q is no port", port)
	}
	allow, err := t.sink.networks()
	if err != nil {
		return nil, err
	}
	conf, err := t.sink.TLS.config(host)
	if err != nil {
		return nil, err
	}
	dial := dialer(allow, t.timeout)
	m := &mail{c: c, host: host, site: site}
	m.opts = []gomail.Option{gomail.WithPort(number), gomail.WithTimeout(t.timeout), gomail.WithTLSConfig(conf)}
	// The library joins host and port without brackets around an address of version 6: what was configured is dialled.
	connect := gomail.DialContextFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial.DialContext(ctx, network, c.Server)
	})
	switch c.Security {
	case "tls":
		m.opts = append(m.opts, gomail.WithSSL())
		connect = func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := dial.DialContext(ctx, network, c.Server)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, conf), nil
		}
	case "insecure-none":
		m.opts = append(m.opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		m.opts = append(m.opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	m.opts = append(m.opts, gomail.WithDialContextFunc(connect))
	if c.User != "" {
		m.opts = append(m.opts, gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(c.User), gomail.WithPassword(password))
	}
	if _, err := m.message("msg_check", Sample(t0(), "")); err != nil {
		return nil, err
	}
	return m, nil
}

// message writes the mail. Its Message-ID is made of id, so that receivers of a repeated one see one.
func (m *mail) message(id string, n *Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.From(m.c.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(m.c.To...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	msg.Subject(clean("["+m.site+"] "+n.Title, 200))
	msg.SetMessageIDWithValue(id + "@palladium.invalid")
	msg.SetDateWithValue(n.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Palladium-Event", n.Kind)
	var b strings.Builder
	b.WriteString(n.Text + "\n\n")
	for _, f := range n.Facts {
		fmt.Fprintf(&b, "%-14s %s\n", strings.ReplaceAll(f.Name, "_", " "), f.Value)
	}
	fmt.Fprintf(&b, "%-14s %s (%s, %s)\n", "event", n.Subject, n.Kind, n.Severity)
	if n.Link != "" {
		b.WriteString("\n" + n.Link + "\n")
	}
	msg.SetBodyString(gomail.TypeTextPlain, b.String())
	return msg, nil
}

func (m *mail) send(ctx context.Context, id string, n *Message) (string, error) {
	msg, err := m.message(id, n)
	if err != nil {
		return "", err
	}
	c, err := gomail.NewClient(m.host, m.opts...)
	if err != nil {
		return "", fmt.Errorf("set up SMTP: %w", err)
	}
	if err := c.DialAndSendWithContext(ctx, msg); err != nil {
		if msg.IsDelivered() {
			return "taken; the connection did not end well", nil
		}
		return "", fmt.Errorf("send by SMTP: %w", err)
	}
	return "the mail server took it: " + msg.ServerResponse(), nil
}
