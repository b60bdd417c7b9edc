// Package drive plays a world as real HTTP: its accounts send their requests through a gateway, and a model server of the
// world's own gives the answers that the world says they got. Days pass in seconds.
package drive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/world"
)

// Clock is the world's time: that of the exchange that was sent last. It is safe for concurrent use.
type Clock struct{ ms atomic.Int64 }

// Now returns the world's time; the zero time before the first exchange.
func (c *Clock) Now() time.Time {
	if ms := c.ms.Load(); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// Options say how a world is played.
type Options struct {
	Key     func(account string) string // secret of an account's key
	Clients int                         // requests in flight at once; 0 means 16
	// Wait is called before each exchange, in order: it paces the world. It returns when ctx ends. Nil plays as fast as can be.
	Wait func(ctx context.Context, at time.Time)
}

// Tally is what became of requests so far. A campaign's are those of its accounts, camouflage included.
type Tally struct {
	Sent, Answered, Refused, Failed int64
	Tokens                          int64 // output tokens that callers got
	Campaign                        Share
}

// Share is the campaigns' part of a Tally. InStore is the output tokens that its requests would have got with nobody in the way.
type Share struct{ Sent, Answered, Refused, Tokens, InStore int64 }

// Player plays one world once.
type Player struct {
	opt    Options
	base   string // address of the gateway
	clock  Clock
	model  *Model
	client *http.Client

	given, done                             atomic.Int64 // exchanges begun, and over
	sent, answered, refused, failed, tokens atomic.Int64
	campaign                                struct{ sent, answered, refused, tokens, inStore atomic.Int64 }
	why                                     atomic.Pointer[error] // of the last failure
}

// New returns a player whose answers come from the model, which the gateway must have as its upstream.
func New(m *Model, opt Options) *Player {
	if opt.Clients <= 0 {
		opt.Clients = 16
	}
	t := &http.Transport{
		MaxIdleConns: opt.Clients, MaxIdleConnsPerHost: opt.Clients, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	return &Player{opt: opt, model: m, client: &http.Client{Transport: t, Timeout: 30 * time.Second}}
}

// Aim says where the gateway is, without a path; it comes before Play.
func (p *Player) Aim(base string) { p.base = base }

// Clock returns the world's time.
func (p *Player) Clock() *Clock { return &p.clock }

// Progress returns how many exchanges were begun and how many of them are over.
func (p *Player) Progress() (begun, over int64) { return p.given.Load(), p.done.Load() }

// Tally returns what became of requests so far.
func (p *Player) Tally() Tally {
	return Tally{
		Sent: p.sent.Load(), Answered: p.answered.Load(), Refused: p.refused.Load(), Failed: p.failed.Load(), Tokens: p.tokens.Load(),
		Campaign: Share{p.campaign.sent.Load(), p.campaign.answered.Load(), p.campaign.refused.Load(), p.campaign.tokens.Load(), p.campaign.inStore.Load()},
	}
}

// Since returns what came after an earlier Tally.
func (t Tally) Since(e Tally) Tally {
	c, d := t.Campaign, e.Campaign
	return Tally{
		Sent: t.Sent - e.Sent, Answered: t.Answered - e.Answered, Refused: t.Refused - e.Refused, Failed: t.Failed - e.Failed, Tokens: t.Tokens - e.Tokens,
		Campaign: Share{c.Sent - d.Sent, c.Answered - d.Answered, c.Refused - d.Refused, c.Tokens - d.Tokens, c.InStore - d.InStore},
	}
}

// letter is one request on its way. It holds what was copied of the exchange.
type letter struct {
	number   int64
	account  string
	path     string
	body     []byte
	agent    string
	ip       string
	campaign bool
}

// Play sends the exchanges of w, in the order of their times, until they or ctx end. Exchanges that the world says were
// refused by the provider for its own reasons are sent like others. It fails when no request at all could be made.
func (p *Player) Play(ctx context.Context, w *world.World) error {
	letters := make(chan *letter, p.opt.Clients)
	var group sync.WaitGroup
	for range p.opt.Clients {
		group.Go(func() {
			for l := range letters {
				p.send(ctx, l)
				p.done.Add(1)
			}
		})
	}
	var number int64
	for e, mark := range w.Marked() {
		if ctx.Err() != nil {
			break
		}
		if p.opt.Wait != nil {
			p.opt.Wait(ctx, e.Time)
		}
		number++
		l, err := write(e, number)
		if err != nil {
			close(letters)
			return err
		}
		if l.campaign = mark.Campaign >= 0; l.campaign {
			p.campaign.inStore.Add(e.Usage.Output)
		}
		p.model.expect(number, e)
		p.clock.ms.Store(e.Time.UnixMilli())
		p.given.Add(1)
		letters <- l
	}
	close(letters)
	group.Wait()
	p.client.CloseIdleConnections()
	if why := p.why.Load(); why != nil && p.answered.Load() == 0 && ctx.Err() == nil {
		return fmt.Errorf("play the world: no request was answered: %w", *why)
	}
	return ctx.Err()
}

// NumberHeader carries the number of an exchange from the player to the model.
const NumberHeader = "X-World-Exchange"

func (p *Player) send(ctx context.Context, l *letter) {
	p.count(l, &p.sent, &p.campaign.sent, 1)
	defer p.model.forget(l.number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+l.path, bytes.NewReader(l.body))
	if err != nil {
		p.fail(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.opt.Key(l.account))
	req.Header.Set(NumberHeader, strconv.FormatInt(l.number, 10))
	req.Header.Set("User-Agent", l.agent)
	if l.ip != "" {
		req.Header.Set("X-Forwarded-For", l.ip)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.fail(err)
		return
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		p.fail(err)
	case resp.StatusCode == http.StatusOK:
		p.count(l, &p.answered, &p.campaign.answered, 1)
		p.count(l, &p.tokens, &p.campaign.tokens, outputTokens(data))
	default:
		p.count(l, &p.refused, &p.campaign.refused, 1)
	}
}

func (p *Player) count(l *letter, all, campaign *atomic.Int64, n int64) {
	all.Add(n)
	if l.campaign {
		campaign.Add(n)
	}
}

func (p *Player) fail(err error) {
	if !errors.Is(err, context.Canceled) {
		p.failed.Add(1)
		p.why.Store(&err)
	}
}

// outputTokens reads the usage of an answer that is not streamed, or of the last event of one that is.
func outputTokens(data []byte) int64 {
	if at := bytes.LastIndex(data, []byte(`"usage":{`)); at >= 0 {
		var u struct {
			OpenAI    int64 `json:"completion_tokens"`
			Anthropic int64 `json:"output_tokens"`
		}
		if json.NewDecoder(bytes.NewReader(data[at+len(`"usage":`):])).Decode(&u) == nil {
			return u.OpenAI + u.Anthropic
		}
	}
	return 0
}

// write makes the request of an exchange.
func write(e *palladium.Exchange, number int64) (*letter, error) {
	l := &letter{
		number: number, account: strings.Clone(e.Account), agent: strings.Clone(e.Client.UserAgent), ip: strings.Clone(e.Client.IP),
		path: "/v1/chat/completions",
	}
	body := map[string]any{"model": e.Model}
	anthropic := strings.HasPrefix(e.API, "anthropic")
	messages := make([]map[string]string, 0, len(e.Messages)+1)
	if e.System != "" && anthropic {
		body["system"] = e.System
	} else if e.System != "" {
		messages = append(messages, map[string]string{"role": "system", "content": e.System})
	}
	for _, m := range e.Messages {
		text := m.Text
		if text == "" {
			text = "[" + m.Digest + "]"
		}
		messages = append(messages, map[string]string{"role": m.Role, "content": text})
	}
	body["messages"] = messages
	tools := make([]any, 0, len(e.Tools))
	schema := map[string]any{"type": "object", "properties": map[string]any{}}
	for _, name := range e.Tools {
		if anthropic {
			tools = append(tools, map[string]any{"name": name, "input_schema": schema})
		} else {
			tools = append(tools, map[string]any{"type": "function", "function": map[string]any{"name": name, "parameters": schema}})
		}
	}
	if len(tools) > 0 {
		body["tools"] = tools
	}
	if anthropic {
		l.path = "/v1/messages"
	}
	parameters(body, &e.Params, anthropic)
	var err error
	if l.body, err = json.Marshal(body); err != nil {
		return nil, fmt.Errorf("write a request of the world: %w", err)
	}
	return l, nil
}

func parameters(body map[string]any, p *palladium.Params, anthropic bool) {
	for _, v := range []struct {
		bit   palladium.ParamSet
		name  string
		value any
		only  bool // OpenAI's
	}{
		{palladium.HasTemperature, "temperature", p.Temperature, false},
		{palladium.HasTopP, "top_p", p.TopP, false},
		{palladium.HasMaxTokens, "max_tokens", p.MaxTokens, false},
		{palladium.HasN, "n", p.N, true},
		{palladium.HasLogprobs, "logprobs", p.Logprobs, true},
		{palladium.HasTopLogprobs, "top_logprobs", p.TopLogprobs, true},
		{palladium.HasSeed, "seed", p.Seed, true},
	} {
		if p.Has&v.bit != 0 && !(v.only && anthropic) {
			body[v.name] = v.value
		}
	}
	if anthropic && p.Has&palladium.HasMaxTokens == 0 {
		body["max_tokens"] = 4096
	}
	if p.Has&palladium.HasLogitBias != 0 && !anthropic {
		bias := map[string]float64{}
		for _, b := range p.LogitBias {
			bias[strconv.FormatUint(uint64(b.Token), 10)] = b.Bias
		}
		body["logit_bias"] = bias
	}
	if p.Has&palladium.HasReasoning != 0 && p.Reasoning != "" && !anthropic {
		body["reasoning_effort"] = p.Reasoning
	}
}
