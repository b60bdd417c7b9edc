package app

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/credential"
)

// NewKey is a key to be made.
type NewKey struct {
	credential.Grant
	Expires string // see Deadline
	Note    string
}

// CreateKey adds a key to the file of that path, which is made if need be. The key alone goes to out, once; what it is good
// for goes to notes.
func CreateKey(path string, k NewKey, out, notes io.Writer) error {
	now := time.Now()
	expires, err := Deadline(k.Expires, now)
	if err != nil {
		return fmt.Errorf("expires: %w", err)
	}
	keys, err := credential.OpenKeys(path)
	if err != nil {
		return err
	}
	key, secret, err := keys.Create(now, rand.Reader, k.Grant, expires, k.Note)
	if err != nil {
		return err
	}
	return handOut(key, secret, out, notes)
}

// RotateKey gives a key a new secret. The old one is good for the time of overlap.
func RotateKey(path, id string, overlap time.Duration, out, notes io.Writer) error {
	keys, err := credential.OpenKeys(path)
	if err != nil {
		return err
	}
	key, secret, err := keys.Rotate(time.Now(), rand.Reader, id, overlap)
	if err != nil {
		return err
	}
	if err := handOut(key, secret, out, notes); err != nil {
		return err
	}
	_, err = fmt.Fprintf(notes, "the secret before it is good for another %s\n", overlap)
	return err
}

// handOut shows a secret.
func handOut(key *credential.Key, secret credential.Secret, out, notes io.Writer) error {
	if _, err := fmt.Fprintln(out, secret.Reveal()); err != nil {
		return fmt.Errorf("show the key %s, which is lost now; revoke it: %w", key.ID, err)
	}
	_, err := fmt.Fprintf(notes, "key %s for account %s, plan %s, models %s, expires %s; it is shown this once\n",
		key.ID, key.Account, cmp.Or(key.Plan, "default"), some(key.Models, "all"), day(key.Expires))
	return err
}

// RevokeKey ends a credential for good. Gateways that watch the file refuse it within milliseconds.
func RevokeKey(path, id, reason string, notes io.Writer) error {
	keys, err := credential.OpenKeys(path)
	if err != nil {
		return err
	}
	key, err := keys.Revoke(time.Now(), id, reason)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(notes, "%s is revoked since %s\n", key.ID, key.Revoked.Format(time.RFC3339))
	return err
}

// ListKeys writes a table of the keys, or one JSON object a line. Neither holds a secret, nor a digest of one.
func ListKeys(path string, asJSON bool, out io.Writer) error {
	keys, err := credential.OpenKeys(path)
	if err != nil {
		return err
	}
	now := time.Now()
	if asJSON {
		enc := json.NewEncoder(out)
		for _, k := range keys.List() {
			shown := *k
			shown.Digests = nil
			if err := enc.Encode(struct {
				credential.Key
				State string `json:"state"`
			}{shown, k.State(now)}); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tACCOUNT\tORGANIZATION\tPLAN\tMODELS\tSTATE\tEXPIRES\tNOTE")
	for _, k := range keys.List() {
		note := k.Note
		if k.Reason != "" {
			note = "revoked: " + k.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, cmp.Or(k.Account, "-"), cmp.Or(k.Organization, "-"), cmp.Or(k.Plan, "default"),
			some(k.Models, "all"), k.State(now), day(k.Expires), note)
	}
	return w.Flush()
}

func some(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ",")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04Z")
}

// Deadline reads when something ends: a span from now such as 90d, 36h or 30m, a day such as 2027-01-31, a time as in
// RFC 3339, or the word never, which gives the zero time.
func Deadline(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	d, err := Span(text)
	if err != nil {
		return time.Time{}, errors.New("want a span such as 90d or 36h, a day such as 2027-01-31, or never")
	}
	if d <= 0 {
		return time.Time{}, errors.New("want a time to come")
	}
	return now.Add(d), nil
}

// Span reads a span of time: whole days such as 90d, or as time.ParseDuration does.
func Span(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errors.New("want a span such as 90d or 36h")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("want a span such as 90d or 36h")
	}
	return d, nil
}
