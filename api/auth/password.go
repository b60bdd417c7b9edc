package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/palladium-guard/palladium/api"
)

// The cost of a password hash: argon2id with 19 MiB, 2 passes, 1 lane (OWASP, Password Storage Cheat Sheet).
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashLength = 32
	saltLength = 16
)

// hash returns the hash of a password in the PHC string format. Two are computed at once at most, so that sign-ins cannot
// take the machine's memory.
func (a *Auth) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	key, err := a.derive(ctx, password, salt, hashMemory, hashPasses, hashLanes, hashLength)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashLanes, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

func (a *Auth) derive(ctx context.Context, password string, salt []byte, memory, passes uint32, lanes uint8, length uint32) ([]byte, error) {
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
		return argon2.IDKey([]byte(password), salt, passes, memory, lanes, length), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// check reports whether password is the one of the stored hash. A user without a password costs as long as one with.
func (a *Auth) check(ctx context.Context, password, stored string) (bool, error) {
	known := stored != ""
	if !known {
		stored = a.decoy
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, nil
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, nil
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false, nil
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, nil
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) == 0 {
		return false, nil
	}
	got, err := a.derive(ctx, password, salt, memory, passes, lanes, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// acceptable refuses passwords that are the user's name in other words, or one character repeated. Length is checked by the
// contract; composition rules are not asked for (NIST SP 800-63B).
func acceptable(password, name string) error {
	low := strings.ToLower(password)
	if name != "" && strings.Contains(low, strings.ToLower(name)) && len(password) < 2*len(name)+8 {
		return api.BadRequest("the password must not be made of the user's name")
	}
	distinct := map[rune]bool{}
	for _, r := range low {
		distinct[r] = true
	}
	if len(distinct) < 5 {
		return api.BadRequest("the password needs at least 5 different characters")
	}
	return nil
}
