package openai

import "github.com/palladium-guard/palladium/internal/wire"

// Redact implements wire.Redactor.
func (d *Dialect) Redact(dst, body []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, error) {
	return append(dst, body...), nil
}

// RedactEvent implements wire.Redactor.
func (d *Dialect) RedactEvent(dst, name, data []byte, e wire.Endpoint, rd wire.Redaction) ([]byte, bool, error) {
	return append(dst, data...), true, nil
}
