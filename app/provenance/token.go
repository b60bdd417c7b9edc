package provenance

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// tokenURI names a key in a token (RFC 7512).
type tokenURI struct {
	module, token, serial, label, pin string
	id                                []byte
	slot                              *int
}

// parseTokenURI reads a URI such as pkcs11:token=hsm;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so. A PIN in
// it is used but a file is better: other users see command lines.
func parseTokenURI(s string) (*tokenURI, error) {
	rest, ok := strings.CutPrefix(s, "pkcs11:")
	if !ok {
		return nil, errors.New("a token is named by a URI that begins with pkcs11: (RFC 7512)")
	}
	path, query, _ := strings.Cut(rest, "?")
	u := &tokenURI{}
	for _, part := range append(strings.Split(path, ";"), strings.Split(query, "&")...) {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s of the token's URI is not percent-encoded well", name)
		}
		switch name {
		case "token":
			u.token = value
		case "serial":
			u.serial = value
		case "object":
			u.label = value
		case "id":
			u.id = []byte(value)
		case "slot-id":
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, errors.New("attribute slot-id of the token's URI is not a number")
			}
			u.slot = &n
		case "module-path":
			u.module = value
		case "pin-value":
			u.pin = value
		case "type", "manufacturer", "model", "module-name", "library-manufacturer", "library-description", "library-version",
			"slot-description", "slot-manufacturer":
		default:
			return nil, fmt.Errorf("attribute %q of the token's URI is not known", name)
		}
	}
	switch {
	case u.module == "":
		return nil, errors.New("the token's URI does not name the library that speaks to it: add ?module-path=/path/to/library.so")
	case u.label == "" && u.id == nil:
		return nil, errors.New("the token's URI does not name the key: add object=LABEL or id=%00")
	case u.token == "" && u.serial == "" && u.slot == nil:
		return nil, errors.New("the token's URI does not name the token: add token=LABEL, serial= or slot-id=")
	}
	return u, nil
}
