// Package anthropic reads requests to the Anthropic API, follows its answers, and writes refusals in its form.
package anthropic

import (
	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Dialect reads and writes the Anthropic API. It never changes and is safe for concurrent use.
type Dialect struct{ fields *wire.Fields }

// New makes the dialect.
func New() *Dialect { return &Dialect{fields: fields()} }

// Name is anthropic.
func (d *Dialect) Name() string { return "anthropic" }

// WantUsage changes nothing: streams of this dialect always carry their usage.
func (d *Dialect) WantUsage(*wire.Patch, *wire.Request) bool { return false }

// Fill turns a request and what is known of its answer into e, off the path: API, model, conversation, parameters,
// tools, usage, stop reason and output. The caller sets the rest. S may be nil. Errors wrap one of package dialect's.
func (d *Dialect) Fill(e *palladium.Exchange, r *wire.Request, s *wire.Scanner) error {
	e.API, e.Model = "anthropic."+r.Endpoint.String(), r.Model
	if s != nil {
		e.Usage, e.Outcome.Finish, e.Output = s.Usage, s.Finish.String(), s.Answer()
	}
	var p fastjson.Parser
	v, err := dialect.Parse(&p, r.Body)
	if err != nil {
		return err
	}
	dialect.Parameters(&e.Params, v)
	e.Tools = dialect.Tools(e.Tools, v)
	e.System = dialect.Joined(v.Get("system"))
	e.Messages = dialect.Turns(e.Messages, v.Get("messages"))
	return nil
}
