package signing

import (
	"errors"
	"fmt"
)

// ErrForged is wrapped, beside ErrUntrusted, by errors about a signature that names a trusted key or certificate and does
// not fit.
var ErrForged = errors.New("signature does not fit what it stands under")

// VerifyPayload checks every signature of a bundle around any in-toto statement, and leaves the statement, and whether it
// is of the type that the caller expects, to the caller. Manifest, Root and Dialect of the result are empty. Errors wrap
// ErrUntrusted or ErrFormat.
func VerifyPayload(b *Bundle, t Trust) (*Verified, error) {
	v := &Verified{Method: b.Method, Signatures: len(b.Signatures)}
	var err error
	switch b.Method {
	case ByKey:
		if b.hint == "" {
			return nil, fmt.Errorf("%w: it does not say which key it was made with", ErrFormat)
		}
		err = v.byKey(b, &read{}, t)
	case ByCertificate:
		err = v.byCertificate(b, &read{}, t)
	case BySigstore:
		err = v.bySigstore(b, t)
	default:
		err = fmt.Errorf("%w: unknown method %q", ErrFormat, b.Method)
	}
	if err != nil {
		if v.Signer.Key != "" && errors.Is(err, ErrUntrusted) {
			return nil, fmt.Errorf("%w: %w", ErrForged, err)
		}
		return nil, err
	}
	return v, nil
}
