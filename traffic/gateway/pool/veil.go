package pool

import "bytes"

// Veil takes an upstream's secret out of an answer of its as the bytes pass, however they are cut, and leaves their number
// as it is. The zero value passes everything. It belongs to one goroutine.
type Veil struct {
	secret []byte
	held   []byte // the end of what came so far, with which the secret may begin
	joined []byte
}

// Veil returns what takes u's secret out of one answer.
func (u *Upstream) Veil() Veil { return Veil{secret: []byte(u.secret)} }

// Pass returns what of p, and of what was held back, may pass now. It writes to p; what it returns is valid until the next
// call. Bytes are held back only where they are the beginning of the secret, which holds no white space.
func (v *Veil) Pass(p []byte) []byte {
	if len(v.secret) == 0 {
		return p
	}
	if len(v.held) > 0 {
		v.joined = append(append(v.joined[:0], v.held...), p...)
		p = v.joined
	}
	for at := 0; ; {
		i := bytes.Index(p[at:], v.secret)
		if i < 0 {
			break
		}
		for k := range v.secret {
			p[at+i+k] = '*'
		}
		at += i + len(v.secret)
	}
	n := len(p) - v.begun(p)
	v.held = append(v.held[:0], p[n:]...)
	return p[:n]
}

// begun is how many of the last bytes of p are the beginning of the secret.
func (v *Veil) begun(p []byte) int {
	for at := max(0, len(p)-len(v.secret)+1); at < len(p); at++ {
		i := bytes.IndexByte(p[at:], v.secret[0])
		if i < 0 {
			return 0
		}
		if at += i; bytes.HasPrefix(v.secret, p[at:]) {
			return len(p) - at
		}
	}
	return 0
}

// Rest returns what is held back of an answer that has ended.
func (v *Veil) Rest() []byte {
	rest := v.held
	v.held = nil
	return rest
}
