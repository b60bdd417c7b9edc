package credential

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/palladium-guard/palladium/traffic/gateway"
)

// Grant is what a credential stands for and may be used for.
type Grant struct {
	Account           string   `json:"account" yaml:"account"`
	Organization      string   `json:"organization,omitempty" yaml:"organization,omitempty"`
	Plan              string   `json:"plan,omitempty" yaml:"plan,omitempty"`
	Models            []string `json:"models,omitempty" yaml:"models,omitempty"`       // '*' stands for any run of characters; empty: all
	Endpoints         []string `json:"endpoints,omitempty" yaml:"endpoints,omitempty"` // chat, messages …; empty: all
	Features          []string `json:"features,omitempty" yaml:"features,omitempty"`   // stream, tools …; empty: all
	Budgets           []string `json:"budgets,omitempty" yaml:"budgets,omitempty"`     // pools that are charged too
	RequestsPerMinute int64    `json:"requests_per_minute,omitempty" yaml:"requests_per_minute,omitempty"`
	TokensPerMinute   int64    `json:"tokens_per_minute,omitempty" yaml:"tokens_per_minute,omitempty"`
}

// Key is one Palladium key as it is stored: everything but its secret. It is immutable once it is in use.
type Key struct {
	ID string `json:"id"`
	Grant
	Note    string    `json:"note,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Rotated time.Time `json:"rotated,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
	Reason  string    `json:"reason,omitempty"` // of the revocation
	Digests []Digest  `json:"digests,omitempty"`
}

// Digest is the SHA-256 of one secret of a key. While a rotation overlaps there are two.
type Digest struct {
	SHA256 Sum       `json:"sha256"`
	Until  time.Time `json:"until,omitzero"` // zero: as long as the key
}

// Sum is a SHA-256, written in hexadecimal.
type Sum [32]byte

// MarshalText writes the sum.
func (s Sum) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText reads a sum.
func (s *Sum) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(s) {
		return errors.New("sha256 is not 64 hexadecimal digits")
	}
	copy(s[:], raw)
	return nil
}

// State returns "active", "expired" or "revoked" at the time now.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired"
	}
	return "active"
}

// Limits of what a credential may say.
const (
	maxName = 255
	maxList = 256
)

// check finds grants that cannot be used.
func (g *Grant) check() error {
	if g.Account == "" {
		return errors.New("a credential needs an account: it says who is billed")
	}
	for what, s := range map[string]string{"account": g.Account, "organization": g.Organization, "plan": g.Plan} {
		if !name(s) {
			return fmt.Errorf("%s is longer than %d bytes, or has characters that cannot be printed", what, maxName)
		}
	}
	for what, list := range map[string][]string{"models": g.Models, "endpoints": g.Endpoints, "features": g.Features, "budgets": g.Budgets} {
		if len(list) > maxList {
			return fmt.Errorf("%s has more than %d entries", what, maxList)
		}
		for _, s := range list {
			if s == "" || !name(s) {
				return fmt.Errorf("%s has an entry that is empty, longer than %d bytes or cannot be printed", what, maxName)
			}
		}
	}
	if g.RequestsPerMinute < 0 || g.TokensPerMinute < 0 {
		return errors.New("rates must not be negative: leave one out to have the plan's")
	}
	return nil
}

// name reports whether s is short and can be printed. The empty string is.
func name(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// caller returns what the grant lets a request do.
func (g *Grant) caller(kind, id string) gateway.Caller {
	return gateway.Caller{
		Account: g.Account, Organization: g.Organization, Plan: g.Plan, Credential: id, Kind: kind,
		Scopes:  gateway.Scopes{Models: g.Models, Endpoints: g.Endpoints, Features: g.Features},
		Rate:    gateway.Rate{Requests: g.RequestsPerMinute, Tokens: g.TokensPerMinute},
		Budgets: g.Budgets,
	}
}

// parseKey reads one line of a key file.
func parseKey(line []byte) (*Key, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	k := new(Key)
	if err := dec.Decode(k); err != nil {
		return nil, fmt.Errorf("it is not a key as this version writes it: %w", plainJSON(err))
	}
	if dec.More() {
		return nil, errors.New("something follows the key")
	}
	if k.ID == "" || !name(k.ID) {
		return nil, errors.New("it has no id")
	}
	if k.foreign() {
		if k.Revoked.IsZero() {
			return nil, errors.New("it names a credential that is not a key, and does not revoke it")
		}
		return k, nil
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.Revoked.IsZero() && len(k.Digests) == 0 {
		return nil, errors.New("it has no digest of a secret")
	}
	return k, nil
}

// plainJSON drops what an error of the JSON package may quote of the input.
func plainJSON(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON from byte %d on", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("field %s has the wrong type", kind.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return errors.New("it has a field that is not known")
	}
	return errors.New("a value cannot be read")
}

// foreign reports whether k stands for a token, a certificate or a trusted identity: only to say that it is revoked.
func (k *Key) foreign() bool { return strings.Contains(k.ID, ":") }

// clone returns a copy that can be changed.
func (k *Key) clone() *Key {
	c := *k
	c.Digests = slices.Clone(k.Digests)
	return &c
}
