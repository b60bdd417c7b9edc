package verdict

import "crypto/sha256"

// seal puts the right checksum behind a body.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(append([]byte(nil), body...), sum[:]...)
}
