package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// sender brings one message to one sink. id is the same for every attempt. It returns what came back. Its errors may hold what the
// sink said; target takes secrets out of both.
type sender interface {
	send(ctx context.Context, id string, m *Message) (said string, err error)
}

// refusal is a sink's answer that is no success.
type refusal struct {
	status int
	said   string
	after  time.Duration // not before; 0: not said
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("it answered %d %s", r.status, http.StatusText(r.status))
	switch {
	case r.status >= 300 && r.status < 400:
		return text + ": redirects are not followed: name the final address"
	case r.said != "":
		return text + ": " + r.said
	}
	return text
}

// limits of what is read of an answer.
const (
	maxAnswer  = 4 << 10
	maxHeaders = 32 << 10
)

// target is a sink that is ready to be sent to.
type target struct {
	sink    *Sink
	to      sender
	secrets []string
	timeout time.Duration
}

// open reads what the sink's section names and makes its sender.
func open(s *Sink, site string) (*target, error) {
	t := &target{sink: s, timeout: s.Timeout}
	if t.timeout == 0 {
		t.timeout = 10 * time.Second
	}
	err := t.make(site)
	if err != nil {
		return nil, fmt.Errorf("notify: sink %q: %w", s.Name, err)
	}
	return t, nil
}

func (t *target) make(site string) (err error) {
	s := t.sink
	switch {
	case s.Webhook != nil:
		text, err := secret("secret", s.Webhook.SecretFile, s.Webhook.SecretEnv)
		if err != nil {
			return err
		}
		keys, err := parseSecrets(text)
		if err != nil {
			return err
		}
		t.secrets = strings.Fields(text)
		c, err := t.client()
		t.to = &webhook{c, s.Webhook.URL, keys, s.Webhook.Format}
		return err
	case s.Slack != nil:
		u, err := secret("url", s.Slack.URLFile, s.Slack.URLEnv)
		if err != nil {
			return err
		}
		if err := checkURL(u, s.Slack.InsecureHTTP); err != nil {
			return err
		}
		t.secrets = []string{u}
		if p, err := url.Parse(u); err == nil && len(p.Path) > 1 {
			t.secrets = append(t.secrets, p.Path)
		}
		c, err := t.client()
		t.to = &slack{c, u, site}
		return err
	case s.Alertmanager != nil:
		token, err := secret("token", s.Alertmanager.TokenFile, s.Alertmanager.TokenEnv)
		if err != nil {
			return err
		}
		if token != "" {
			t.secrets = []string{token}
		}
		c, err := t.client()
		t.to = &alertmanager{c, s.Alertmanager, token, site}
		return err
	case s.Syslog != nil:
		t.to, err = newSyslog(t)
		return err
	}
	password, err := secret("password", s.Mail.PasswordFile, s.Mail.PasswordEnv)
	if err != nil {
		return err
	}
	if password != "" {
		t.secrets = []string{password}
	}
	t.to, err = newMail(t, password, site)
	return err
}

// send sends once, within the sink's time.
func (t *target) send(ctx context.Context, id string, m *Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	said, err := t.to.send(ctx, id, m)
	return t.hide(said), err
}

// hide takes secrets out of a text, and what cannot be printed.
func (t *target) hide(text string) string {
	for _, s := range t.secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	return clean(text, 300)
}

// client returns an HTTP client that goes to allowed addresses alone, by no proxy, and follows nothing.
func (t *target) client() (*http.Client, error) {
	allow, err := t.sink.networks()
	if err != nil {
		return nil, err
	}
	c, err := t.sink.TLS.config("")
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer(allow, t.timeout).DialContext, TLSClientConfig: c, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// post sends JSON and reads the answer. Its errors do not hold the address, which may be a secret.
func post(ctx context.Context, c *http.Client, at string, header http.Header, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("make the request: the address is not a URL")
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "palladium")
	resp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode < 300 {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	said := strings.TrimSpace(string(b))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return strings.TrimSpace(resp.Status + " " + said), nil
	}
	r := &refusal{status: resp.StatusCode, said: said}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		r.after = min(time.Duration(n)*time.Second, time.Hour)
	}
	return "", r
}

type webhook struct {
	client *http.Client
	url    string
	keys   [][]byte
	format string
}

// SecretPrefix begins a webhook's secret; base64 of 24 to 64 bytes follows.
const SecretPrefix = "whsec_"

func parseSecrets(text string) ([][]byte, error) {
	var out [][]byte
	for _, s := range strings.Fields(text) {
		b, ok := strings.CutPrefix(s, SecretPrefix)
		key, err := base64.StdEncoding.DecodeString(b)
		if !ok || err != nil || len(key) < 24 || len(key) > 64 {
			return nil, errors.New("the webhook's secret is not whsec_ and base64 of 24 to 64 bytes: make one with palladium notify secret")
		}
		out = append(out, key)
	}
	return out, nil
}

// sign gives the headers of the Standard Webhooks specification: each key signs id.timestamp.body with HMAC-SHA256.
func sign(keys [][]byte, id string, at time.Time, body []byte) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	var all []string
	for _, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(all, " "))
	return h
}

func (w *webhook) send(ctx context.Context, id string, m *Message) (string, error) {
	var body []byte
	var err error
	if w.format == FormatOCSF {
		body, err = finding(id, m)
	} else {
		body, err = json.Marshal(map[string]any{"type": m.Kind, "timestamp": m.At.Format(time.RFC3339Nano), "data": m})
	}
	if err != nil {
		return "", err
	}
	return post(ctx, w.client, w.url, sign(w.keys, id, time.Now(), body), body)
}

type slack struct {
	client    *http.Client
	url, site string
}

func (s *slack) send(ctx context.Context, _ string, m *Message) (string, error) {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	color := map[Severity]string{Info: "#2f6fb0", Warning: "#c98a00", Critical: "#c0392b"}[m.Severity]
	fields := []map[string]any{}
	for _, f := range m.Facts {
		fields = append(fields, map[string]any{"title": escape(strings.ReplaceAll(f.Name, "_", " ")), "value": escape(f.Value), "short": len(f.Value) < 40})
	}
	title := escape(m.Title)
	body, err := json.Marshal(map[string]any{
		"text": escape(s.site) + ": " + title,
		"attachments": []map[string]any{{
			"fallback": title, "color": color, "title": title, "title_link": m.Link, "text": escape(m.Text), "fields": fields, "ts": m.At.Unix(),
		}},
	})
	if err != nil {
		return "", err
	}
	return post(ctx, s.client, s.url, http.Header{}, body)
}

type alertmanager struct {
	client      *http.Client
	c           *Alertmanager
	token, site string
}

func (a *alertmanager) send(ctx context.Context, _ string, m *Message) (said string, err error) {
	body, err := json.Marshal(a.alerts(m))
	if err != nil {
		return "", err
	}
	var errs []error
	for _, at := range a.c.URLs { // each of a cluster is told, as they ask for; one is enough
		h := http.Header{}
		if a.token != "" {
			h.Set("Authorization", "Bearer "+a.token)
		}
		got, err := post(ctx, a.client, strings.TrimRight(at, "/")+"/api/v2/alerts", h, body)
		if err == nil {
			said = got
		}
		errs = append(errs, err)
	}
	if said != "" {
		return said, nil
	}
	return "", errors.Join(errs...)
}

func (a *alertmanager) alerts(m *Message) []map[string]any {
	out := []map[string]any{}
	add := func(l *alert, from, to time.Time) {
		labels := map[string]string{}
		for k, v := range a.c.Labels {
			labels[k] = v
		}
		labels["alertname"], labels["severity"], labels["site"] = l.name, string(l.severity), a.site
		if l.id != "" {
			labels[l.key] = l.id
		}
		one := map[string]any{
			"labels": labels, "annotations": map[string]string{"summary": m.Title, "description": m.Text},
			"startsAt": from.Format(time.RFC3339Nano), "endsAt": to.Format(time.RFC3339Nano),
		}
		if m.Link != "" {
			one["generatorURL"] = m.Link
		}
		out = append(out, one)
	}
	for i := range m.ends {
		add(&m.ends[i], m.At.Add(-time.Millisecond), m.At)
	}
	if m.fires != nil {
		hold := a.c.Hold
		if hold == 0 {
			hold = 24 * time.Hour
		}
		until := m.fires.until
		if until.IsZero() || until.Before(m.At) {
			until = m.At.Add(hold)
		}
		add(m.fires, m.At, until)
	}
	return out
}
