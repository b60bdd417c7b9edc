//go:build !cgo

package provenance

import (
	"crypto"
	"errors"
)

// openToken is not there: PKCS #11 libraries are reached through C.
func openToken(uri, _ string) (crypto.Signer, func(), error) {
	if _, err := parseTokenURI(uri); err != nil {
		return nil, nil, err
	}
	return nil, nil, errors.New("this palladium was built without C and cannot reach tokens: build it with CGO_ENABLED=1, where a C compiler is, or sign with a key in a file")
}
