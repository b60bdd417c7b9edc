package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
)

var errReload = errors.New("nothing is read again here: start this process anew")

// startAPI starts the operator's API.
func (h *house) startAPI(context.Context) error { return nil }

// adminToken reads the token that the operator sends; "" where none is configured, so that only health is served.
func adminToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}
