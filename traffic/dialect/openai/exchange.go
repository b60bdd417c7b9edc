package openai

import (
	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// WantUsage makes the stream that r asks for end with its usage, unless it does so already, and reports whether p was
// changed: the gateway then has to set Redaction.UsageChunk, as many clients cannot read a chunk that they did not ask for.
func (d *Dialect) WantUsage(p *wire.Patch, r *wire.Request) bool {
	if !r.Stream || r.WantsUsage || r.Endpoint != wire.Chat && r.Endpoint != wire.Completions {
		return false
	}
	i := r.Find("stream_options")
	if i < 0 || r.Members[i].Kind != '{' {
		p.Set(&r.Document, "stream_options", []byte(`{"include_usage":true}`))
		return true
	}
	var edited wire.Patch
	var options wire.Document
	value := r.Members[i].Value.Of(r.Body)
	if err := options.Read(value); err != nil {
		return false
	}
	edited.Set(&options, "include_usage", []byte("true"))
	p.Replace(r.Members[i].Value, edited.Apply(nil, &options))
	return true
}

// Fill turns a request and what is known of its answer into e, off the path: API, model, conversation, parameters,
// tools, usage, finish reason and output. The caller sets the rest. S may be nil. Errors wrap one of package dialect's.
func (d *Dialect) Fill(e *palladium.Exchange, r *wire.Request, s *wire.Scanner) error {
	e.API, e.Model = "openai."+r.Endpoint.String(), r.Model
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
	for _, name := range []string{"messages", "input", "prompt"} {
		e.Messages = dialect.Turns(e.Messages, v.Get(name))
	}
	e.System, e.Messages = dialect.SplitSystem(e.Messages)
	if s := dialect.Joined(v.Get("instructions")); s != "" {
		e.System = s
	}
	return nil
}
