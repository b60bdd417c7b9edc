package serve

import (
	"fmt"
	"net/http"

	"github.com/palladium-guard/palladium/console"
)

// addConsole adds the web console.
func (h *house) addConsole(mux *http.ServeMux) error {
	c, err := console.Handler()
	if err != nil {
		return fmt.Errorf("open the console: %w", err)
	}
	mux.Handle("/", c)
	return nil
}
