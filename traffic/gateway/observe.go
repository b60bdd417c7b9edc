package gateway

import (
	"net/http"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/wire"
)

// Observer takes exchanges that are over. Take never waits: what cannot be taken is dropped, and counted by the Observer.
// It is safe for concurrent use.
type Observer interface {
	Take(*Finished)
}

// Finished is what is kept of an exchange until it is measured. It holds text: whoever takes it lets go of it soon.
type Finished struct {
	ID            string
	Time          time.Time
	Caller        Caller
	Remote        string      // address and port of the connection
	Header        http.Header // of the request, not to be changed
	Dialect       Dialect
	Kind          wire.Endpoint
	Body          []byte        // of the request
	Scan          *wire.Scanner // of the answer; nil when none was followed
	Outcome       palladium.Outcome
	Input, Output int64 // tokens, where the upstream gave no figures
}

// observed hands the exchange over when it reached a model, or was refused to a caller that may ask for it: who goes on
// asking under a measure is how the rest of a campaign is found.
func (x *exchange) observed() {
	if x.g.observer == nil || x.s.cfg.Observe.Off || !x.may || !x.route.policed() || x.route.Kind == wire.CountTokens || x.body == nil {
		return
	}
	f := &Finished{
		ID: x.id.String(), Time: x.start, Caller: x.caller, Remote: x.r.RemoteAddr, Header: x.r.Header, Dialect: x.dialect(), Kind: x.route.Kind, Body: x.body,
		Outcome: palladium.Outcome{Status: x.status, MS: ms(time.Since(x.start))},
	}
	if !x.firstByte.IsZero() {
		f.Outcome.TTFTMS = ms(x.firstByte.Sub(x.start))
	}
	if x.passing.Follows {
		scan := x.passing.Scan // a copy: the exchange holds the connection
		scan.Learn(nil)
		f.Scan = &scan
		if !scan.HasUsage && x.reserved != nil {
			f.Input, f.Output = x.cost()
		}
	}
	x.g.observer.Take(f)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
