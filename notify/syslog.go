package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// defaultEnterprise is the private enterprise number that IANA keeps for examples (RFC 5612).
const defaultEnterprise = 32473

type syslog struct {
	c        *Syslog
	dial     *net.Dialer
	tls      *tls.Config
	facility uint8
	host     string
}

func facility(name string) (uint8, bool) {
	switch name {
	case "auth":
		return 4, true
	case "", "authpriv":
		return 10, true
	}
	n, ok := strings.CutPrefix(name, "local")
	if !ok || len(n) != 1 || n[0] < '0' || n[0] > '7' {
		return 0, false
	}
	return 16 + n[0] - '0', true
}

func newSyslog(t *target) (sender, error) {
	allow, err := t.sink.networks()
	if err != nil {
		return nil, err
	}
	s := &syslog{c: t.sink.Syslog, dial: dialer(allow, t.timeout)}
	s.facility, _ = facility(s.c.Facility)
	host, _, err := net.SplitHostPort(s.c.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if s.tls, err = t.sink.TLS.config(host); err != nil {
		return nil, err
	}
	if s.host, err = os.Hostname(); err != nil {
		s.host = "-"
	}
	return s, nil
}

// line writes a message as RFC 5424.
func (s *syslog) line(id string, m *Message) (string, error) {
	level := map[Severity]uint8{Critical: 2, Warning: 4, Info: 6}[m.Severity]
	text := m.Title + ". " + m.Text
	if s.c.Format == FormatOCSF {
		b, err := finding(id, m)
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	number := s.c.Enterprise
	if number == 0 {
		number = defaultEnterprise
	}
	element := "palladium@" + strconv.Itoa(number)
	// The builder escapes nothing in parameters, and refuses what is not escaped.
	value := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace
	b := &rfc5424.SyslogMessage{}
	b.SetVersion(1).SetPriority(s.facility*8+level).SetTimestamp(m.At.Format("2006-01-02T15:04:05.000000Z07:00")).
		SetHostname(s.host).SetAppname("palladium").SetProcID(strconv.Itoa(os.Getpid())).SetMsgID(m.Kind).
		SetParameter(element, "id", value(id)).SetParameter(element, "subject", value(m.Subject)).SetParameter(element, "severity", string(m.Severity))
	if m.Campaign != "" {
		b.SetParameter(element, "campaign", value(m.Campaign))
	}
	if m.Link != "" {
		b.SetParameter(element, "link", value(m.Link))
	}
	for _, f := range m.Facts {
		b.SetParameter(element, f.Name, value(f.Value))
	}
	b.SetMessage(clean(text, 6<<10))
	line, err := b.String()
	if err != nil {
		return "", fmt.Errorf("write the syslog message: %w", err)
	}
	return line, nil
}

// send writes one message on a connection of its own: octet counting over TCP (RFC 6587) and TLS (RFC 5425), one datagram over UDP.
// Syslog acknowledges nothing: over TCP and TLS the other side's close after ours stands for taken, and a reset for lost.
func (s *syslog) send(ctx context.Context, id string, m *Message) (string, error) {
	line, err := s.line(id, m)
	if err != nil {
		return "", err
	}
	network, frame := "tcp", strconv.Itoa(len(line))+" "+line
	if s.c.Network == "udp" {
		network, frame = "udp", line
	}
	conn, err := s.dial.DialContext(ctx, network, s.c.Address)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return "", fmt.Errorf("connect: %w", err)
		}
	}
	if network == "tcp" && s.c.Network != "tcp" {
		c := tls.Client(conn, s.tls)
		if err := c.HandshakeContext(ctx); err != nil {
			return "", fmt.Errorf("speak TLS: %w", err)
		}
		conn = c
	}
	if _, err := io.WriteString(conn, frame); err != nil {
		return "", fmt.Errorf("write: %w", refusedBy(conn, err))
	}
	said := fmt.Sprintf("%d bytes written to %s; syslog answers nothing", len(frame), conn.RemoteAddr())
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || network == "udp" {
		return said, nil
	}
	if err := half.CloseWrite(); err != nil {
		return "", fmt.Errorf("end the connection: %w", refusedBy(conn, err))
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", fmt.Errorf("end the connection: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(conn, maxAnswer))
	var slow net.Error
	if err != nil && !(errors.As(err, &slow) && slow.Timeout()) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("the connection was lost before the message was taken: %w", err)
	}
	return said, nil
}

// refusedBy gives what the other side said before it closed, where it said something: TLS 1.3 tells of a client certificate that is
// missing or wrong only after the handshake, when writing has failed already.
func refusedBy(conn net.Conn, err error) error {
	if e := conn.SetReadDeadline(time.Now().Add(time.Second)); e != nil {
		return err
	}
	var alert tls.AlertError
	if _, e := conn.Read(make([]byte, 1)); errors.As(e, &alert) || e != nil && strings.Contains(e.Error(), "remote error: tls") {
		return e
	}
	return err
}
