package credential

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/big"
	"strings"
)

// The form of a secret:
//
//	pal_<id>_<secret><checksum>
//
// id is 12 characters and public; the secret is 256 random bits in 43 characters of base 62; the checksum is the CRC-32
// (IEEE) of all before it in 6 characters of base 62, so that a scanner for leaked secrets knows a real one without asking
// anybody. The whole is 66 characters long and matches
//
//	\bpal_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b
const (
	prefix       = "pal_"
	idSize       = 12
	secretSize   = 43
	checksumSize = 6
	textSize     = len(prefix) + idSize + 1 + secretSize + checksumSize

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Secret is a key as it is handed out, once. It prints, logs and encodes as its public part alone; Reveal gives the text.
type Secret struct{ text string }

// ErrForm says that a text is not a key of Palladium: wrong length, characters or checksum.
var ErrForm = errors.New("text is not a palladium key")

// newSecret draws a key from random.
func newSecret(random io.Reader, id string) (Secret, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Secret{}, fmt.Errorf("draw a key: %w", err)
	}
	body := prefix + id + "_" + base62(new(big.Int).SetBytes(raw), secretSize)
	return Secret{body + checksum(body)}, nil
}

// newID draws the public part of a key: 71 bits, so that ids do not meet.
func newID(random io.Reader) (string, error) {
	most := new(big.Int).Exp(big.NewInt(62), big.NewInt(idSize), nil)
	raw := make([]byte, 16)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("draw a key's id: %w", err)
	}
	return base62(new(big.Int).Mod(new(big.Int).SetBytes(raw), most), idSize), nil
}

// base62 writes n in size digits.
func base62(n *big.Int, size int) string {
	b, digit, base := make([]byte, size), new(big.Int), big.NewInt(62)
	n = new(big.Int).Set(n)
	for i := size - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		b[i] = alphabet[digit.Int64()]
	}
	return string(b)
}

func checksum(body string) string {
	n := crc32.ChecksumIEEE([]byte(body))
	b := make([]byte, checksumSize)
	for i := checksumSize - 1; i >= 0; i-- {
		b[i] = alphabet[n%62]
		n /= 62
	}
	return string(b)
}

// ParseSecret reads a key and checks its form and checksum, offline. The error says nothing of the text.
func ParseSecret(text string) (Secret, error) {
	if len(text) != textSize || text[:len(prefix)] != prefix || text[len(prefix)+idSize] != '_' {
		return Secret{}, ErrForm
	}
	for i := len(prefix); i < textSize; i++ {
		if i != len(prefix)+idSize && strings.IndexByte(alphabet, text[i]) < 0 {
			return Secret{}, ErrForm
		}
	}
	at := textSize - checksumSize
	if checksum(text[:at]) != text[at:] {
		return Secret{}, ErrForm
	}
	return Secret{text}, nil
}

// ID returns the public part.
func (s Secret) ID() string {
	if len(s.text) != textSize {
		return ""
	}
	return s.text[len(prefix) : len(prefix)+idSize]
}

// Reveal returns the whole text, for the one to whom the key is handed out.
func (s Secret) Reveal() string { return s.text }

// sum is what is stored of a secret. A plain SHA-256 is right here: slow hashes are for secrets that can be guessed, and
// 256 random bits cannot, however fast each guess is; and a slow hash on every request would be a way to stop a gateway.
func (s Secret) sum() [sha256.Size]byte { return sha256.Sum256([]byte(s.text)) }

// String returns the public part and hides the rest.
func (s Secret) String() string { return prefix + s.ID() + "_[hidden]" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// Format hides the secret from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
