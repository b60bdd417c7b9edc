//go:build cgo

package provenance

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"

	"github.com/ThalesGroup/crypto11"
)

// openToken opens the key that a PKCS #11 URI names. The PIN is that of the URI, or pin.
func openToken(uri, pin string) (crypto.Signer, func(), error) {
	u, err := parseTokenURI(uri)
	if err != nil {
		return nil, nil, err
	}
	pin = cmp.Or(u.pin, pin)
	if pin == "" {
		return nil, nil, errors.New("no PIN is given: name a file that holds it with --passphrase-file")
	}
	config := &crypto11.Config{Path: u.module, Pin: pin}
	switch { // the library wants just one
	case u.slot != nil:
		config.SlotNumber = u.slot
	case u.serial != "":
		config.TokenSerial = u.serial
	default:
		config.TokenLabel = u.token
	}
	session, err := crypto11.Configure(config)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: check module-path, token and PIN", err)
	}
	var label []byte
	if u.label != "" {
		label = []byte(u.label)
	}
	key, err := session.FindKeyPair(u.id, label)
	if err == nil && key == nil {
		err = errors.New("the token has no key pair of that name: both halves must be in it, with the same id")
	}
	if err != nil {
		session.Close()
		return nil, nil, err
	}
	return key, func() { session.Close() }, nil
}
