// Package native reads the product's own traffic format: JSON Lines with two kinds of record, "account" and
// "exchange". It is a single pass over the line, strict about syntax, and allocates nothing per exchange.
package native

import (
	"bytes"
	"fmt"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Format describes the native format.
func Format() dialect.Format {
	return dialect.Format{Name: "native", Sniff: Sniff, Account: account, New: func() dialect.Decoder { return new(Decoder) }}
}

// Sniff reports whether line has the "kind" that marks a native record.
func Sniff(line []byte) bool {
	k := kindOf(line)
	return k == dialect.KindAccount || k == dialect.KindExchange
}

func account(line []byte) bool { return kindOf(line) == dialect.KindAccount }

// kindOf looks for a "kind" with one of its two values, first where writers put it. It knows nothing of nesting.
func kindOf(line []byte) dialect.Kind {
	for {
		at := bytes.Index(line, []byte(`"kind"`))
		if at < 0 {
			return 0
		}
		line = bytes.TrimLeft(line[at+len(`"kind"`):], " \t")
		if len(line) == 0 || line[0] != ':' {
			continue
		}
		switch value := bytes.TrimLeft(line[1:], " \t"); {
		case bytes.HasPrefix(value, []byte(`"account"`)):
			return dialect.KindAccount
		case bytes.HasPrefix(value, []byte(`"exchange"`)):
			return dialect.KindExchange
		}
	}
}

// Decoder reads native lines.
type Decoder struct {
	s   scanner
	rec dialect.Record
}

// Decode implements dialect.Decoder. A line holds one record. Unknown fields are ignored once their syntax is
// checked; null stands for an absent field; a known field of a wrong type rejects the line.
func (d *Decoder) Decode(line []byte, emit func(*dialect.Record) error) error {
	if len(line) > dialect.MaxLine {
		return dialect.ErrTooLong
	}
	if err := d.s.reset(line); err != nil {
		return err
	}
	kind, err := d.kind()
	if err != nil {
		return err
	}
	d.rec.Kind = kind
	if kind == dialect.KindAccount {
		err = d.account()
	} else {
		err = d.exchange()
	}
	if err == nil {
		err = d.s.end()
	}
	if err != nil {
		return err
	}
	if err := d.complete(); err != nil {
		return err
	}
	return emit(&d.rec)
}

func (d *Decoder) complete() error {
	e := &d.rec.Exchange
	switch {
	case d.rec.Kind == dialect.KindAccount && d.rec.Account.ID == "":
		return dialect.Missing("account")
	case d.rec.Kind == dialect.KindAccount:
		return nil
	case e.ID == "":
		return dialect.Missing("id")
	case e.Time.IsZero():
		return dialect.Missing("time")
	case e.Account == "":
		return dialect.Missing("account")
	}
	return nil
}

// kind finds out which record the line holds and leaves the scanner where it was. Writers put "kind" first.
func (d *Decoder) kind() (dialect.Kind, error) {
	s := &d.s
	more, err := s.open('{', '}', 0)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return 0, err
		}
		if key == "kind" {
			return d.kindValue()
		}
		if err = s.skip(1); err != nil {
			return 0, err
		}
		more, err = s.next('}')
	}
	if err != nil {
		return 0, err
	}
	return 0, dialect.Missing("kind")
}

func (d *Decoder) kindValue() (dialect.Kind, error) {
	name := ""
	if err := d.text("kind", &name); err != nil {
		return 0, err
	}
	d.s.rewind()
	switch name {
	case "exchange":
		return dialect.KindExchange, nil
	case "account":
		return dialect.KindAccount, nil
	case "":
		return 0, dialect.Missing("kind")
	}
	return 0, fmt.Errorf("%w: want \"exchange\" or \"account\" in field \"kind\"", dialect.ErrKind)
}

func (d *Decoder) account() error {
	a := &d.rec.Account
	*a = palladium.Account{Verified: a.Verified[:0]}
	s := &d.s
	more, err := s.open('{', '}', 0)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "kind":
			err = d.sameKind()
		case "account":
			err = d.text(key, &a.ID)
		case "created":
			err = d.time(key, &a.Created)
		case "organization":
			err = d.text(key, &a.Organization)
		case "plan":
			err = d.text(key, &a.Plan)
		case "email_domain":
			err = d.text(key, &a.EmailDomain)
		case "email_shape":
			err = d.text(key, &a.EmailShape)
		case "payment":
			err = d.text(key, &a.Payment)
		case "bin":
			err = d.text(key, &a.BIN)
		case "phone_prefix":
			err = d.text(key, &a.PhonePrefix)
		case "device":
			err = d.text(key, &a.Device)
		case "signup_ip":
			err = d.text(key, &a.SignupIP)
		case "verified":
			err = d.texts(key, &a.Verified)
		case "relation":
			err = d.text(key, (*string)(&a.Relation))
		default:
			err = s.skip(1)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

func (d *Decoder) exchange() error {
	e := &d.rec.Exchange
	e.Reset()
	s := &d.s
	more, err := s.open('{', '}', 0)
	for more && err == nil {
		var key string
		if key, err = s.key(); err != nil {
			return err
		}
		switch key {
		case "kind":
			err = d.sameKind()
		case "id":
			err = d.text(key, &e.ID)
		case "time":
			err = d.time(key, &e.Time)
		case "account":
			err = d.text(key, &e.Account)
		case "credential":
			err = d.text(key, &e.Credential)
		case "client":
			err = d.client(&e.Client)
		case "api":
			err = d.text(key, &e.API)
		case "model":
			err = d.text(key, &e.Model)
		case "system":
			err = d.text(key, &e.System)
		case "messages":
			err = d.messages(&e.Messages)
		case "params":
			err = d.params(&e.Params)
		case "tools":
			err = d.texts(key, &e.Tools)
		case "outcome":
			err = d.outcome(&e.Outcome)
		case "usage":
			err = d.usage(&e.Usage)
		case "output":
			err = d.text(key, &e.Output)
		default:
			err = s.skip(1)
		}
		if err != nil {
			return err
		}
		more, err = s.next('}')
	}
	return err
}

// sameKind checks a "kind" against the one found first, so that a second one cannot change the meaning of the line.
func (d *Decoder) sameKind() error {
	name := ""
	if err := d.text("kind", &name); err != nil {
		return err
	}
	if (name == "account") != (d.rec.Kind == dialect.KindAccount) || (name != "account" && name != "exchange") {
		return fmt.Errorf("%w: two different values of field \"kind\"", dialect.ErrKind)
	}
	return nil
}
