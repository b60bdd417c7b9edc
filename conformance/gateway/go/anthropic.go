package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// anthropicGo runs the cases with anthropic-sdk-go.
type anthropicGo struct{}

func (anthropicGo) name() string { return "anthropic-go" }

func (anthropicGo) open(s *setting, o call) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(s.base), option.WithAPIKey(s.key), option.WithMaxRetries(o.retries),
		option.WithHeader("X-Upstream-Fault", o.fault), option.WithHeader("X-Own", "kept"))
}

func (anthropicGo) params(s *setting, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: anthropic.Model(s.model), MaxTokens: 900, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))}}
}

func (anthropicGo) failure(err error) result {
	out := result{"failed": fmt.Sprintf("%T", err)}
	var e *anthropic.Error
	if errors.As(err, &e) {
		out["status"] = e.StatusCode
		if e.Response != nil {
			out["retryAfter"], out["shouldRetry"] = e.Response.Header.Get("Retry-After"), e.Response.Header.Get("X-Should-Retry")
			out["requestId"] = e.Response.Header.Get("Request-Id") != ""
		}
	}
	return out
}

func (c anthropicGo) whole(ctx context.Context, s *setting, o call, text string) (string, error) {
	client := c.open(s, o)
	r, err := client.Messages.New(ctx, c.params(s, text))
	if err != nil {
		return "", err
	}
	return r.Content[0].Text, nil
}

func (c anthropicGo) read(ctx context.Context, s *setting, o call, text string, each func() bool) (result, error) {
	return c.collect(ctx, s, o, c.params(s, text), each)
}

func (c anthropicGo) collect(ctx context.Context, s *setting, o call, p anthropic.MessageNewParams, each func() bool) (result, error) {
	client := c.open(s, o)
	stream := client.Messages.NewStreaming(ctx, p)
	defer stream.Close()
	var message anthropic.Message
	var kinds string
	deltas := 0
	for stream.Next() {
		e := stream.Current()
		kinds += e.Type + " "
		if err := message.Accumulate(e); err != nil {
			return nil, err
		}
		if e.Type == "content_block_delta" {
			deltas++
			if !each() {
				break
			}
		}
	}
	out := result{"deltas": deltas, "kinds": digest(kinds), "stop": message.StopReason, "usage": message.Usage.OutputTokens, "input": message.Usage.InputTokens}
	var text string
	for _, b := range message.Content {
		text += b.Text + string(b.Input)
	}
	out["text"] = text
	return out, stream.Err()
}

func (c anthropicGo) plain(s *setting) result {
	ctx, out := context.Background(), result{}
	o := s.call(c.name(), "plain", "")
	client := c.open(s, o)
	var raw *http.Response
	r, err := client.Messages.New(ctx, c.params(s, "hello there"), option.WithResponseInto(&raw))
	if err != nil {
		return c.failure(err)
	}
	out["message"] = json.RawMessage(r.RawJSON())
	out["request"], out["limit"] = raw.Header.Get("Request-Id"), raw.Header.Get("Anthropic-Ratelimit-Requests-Remaining") != ""
	if all := s.seen(o.tag); len(all) > 0 {
		out["own"], out["version"], out["body"] = all[0].Header.Get("X-Own"), all[0].Header.Get("Anthropic-Version"), all[0].Digest
	}
	out["counted"] = attempt(c, func() (any, error) {
		r, err := client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: anthropic.Model(s.model), Messages: c.params(s, "one two three").Messages})
		if err != nil {
			return nil, err
		}
		return r.InputTokens, nil
	})
	return out
}

func (c anthropicGo) stream(s *setting) result {
	out := result{}
	for _, fault := range []string{"split=5,tokens=40", "crlf", "join=9,tokens=40", "unknown"} {
		out[fault] = attempt(c, func() (any, error) {
			return c.read(context.Background(), s, s.call(c.name(), "stream", fault), "tell me", always)
		})
	}
	return out
}

func (c anthropicGo) tools(s *setting) result {
	p := c.params(s, "weather")
	p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "weather", InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{
		"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"},
	}}}}}
	return result{
		"whole": attempt(c, func() (any, error) {
			client := c.open(s, s.call(c.name(), "tools", ""))
			r, err := client.Messages.New(context.Background(), p)
			if err != nil {
				return nil, err
			}
			return json.RawMessage(r.RawJSON()), nil
		}),
		"stream": attempt(c, func() (any, error) {
			return c.collect(context.Background(), s, s.call(c.name(), "tools", "split=9"), p, always)
		}),
	}
}

func (c anthropicGo) usage(s *setting) result {
	p := c.params(s, "count this please")
	p.MaxTokens = 6
	return result{"stream": attempt(c, func() (any, error) {
		return c.collect(context.Background(), s, s.call(c.name(), "usage", ""), p, always)
	})}
}
