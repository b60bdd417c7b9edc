package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// openAI runs the cases with openai-go.
type openAI struct{}

func (openAI) name() string { return "openai-go" }

func (openAI) open(s *setting, o call) openai.Client {
	return openai.NewClient(option.WithBaseURL(s.base+"/v1/"), option.WithAPIKey(s.key), option.WithMaxRetries(o.retries),
		option.WithHeader("X-Upstream-Fault", o.fault), option.WithHeader("X-Own", "kept"))
}

func (openAI) params(s *setting, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: s.model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

func (openAI) failure(err error) result {
	out := result{"failed": fmt.Sprintf("%T", err)}
	var e *openai.Error
	if errors.As(err, &e) {
		out["status"], out["code"], out["type"] = e.StatusCode, e.Code, e.Type
		if e.Response != nil {
			out["retryAfter"], out["shouldRetry"] = e.Response.Header.Get("Retry-After"), e.Response.Header.Get("X-Should-Retry")
			out["requestId"] = e.Response.Header.Get("X-Request-Id") != ""
		}
	}
	return out
}

func (c openAI) whole(ctx context.Context, s *setting, o call, text string) (string, error) {
	client := c.open(s, o)
	r, err := client.Chat.Completions.New(ctx, c.params(s, text))
	if err != nil {
		return "", err
	}
	return r.Choices[0].Message.Content, nil
}

func (c openAI) read(ctx context.Context, s *setting, o call, text string, each func() bool) (result, error) {
	return c.collect(ctx, s, o, c.params(s, text), each)
}

func (c openAI) collect(ctx context.Context, s *setting, o call, p openai.ChatCompletionNewParams, each func() bool) (result, error) {
	client := c.open(s, o)
	stream := client.Chat.Completions.NewStreaming(ctx, p)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	deltas, empty := 0, 0
	for stream.Next() {
		k := stream.Current()
		acc.AddChunk(k)
		if len(k.Choices) == 0 {
			empty++
			continue
		}
		if k.Choices[0].Delta.Content != "" || len(k.Choices[0].Delta.ToolCalls) > 0 {
			deltas++
			if !each() {
				break
			}
		}
	}
	out := result{"deltas": deltas, "empty": empty, "usage": acc.Usage.TotalTokens}
	if len(acc.Choices) > 0 {
		out["text"], out["finish"], out["calls"] = acc.Choices[0].Message.Content, acc.Choices[0].FinishReason, acc.Choices[0].Message.ToolCalls
	}
	return out, stream.Err()
}

func (c openAI) plain(s *setting) result {
	ctx, out := context.Background(), result{}
	o := s.call(c.name(), "plain", "")
	client := c.open(s, o)
	var raw *http.Response
	r, err := client.Chat.Completions.New(ctx, c.params(s, "hello there"), option.WithResponseInto(&raw))
	if err != nil {
		return c.failure(err)
	}
	out["chat"] = json.RawMessage(r.RawJSON())
	out["request"], out["limit"] = raw.Header.Get("X-Request-Id"), raw.Header.Get("X-Ratelimit-Remaining-Tokens") != ""
	if all := s.seen(o.tag); len(all) > 0 {
		out["own"], out["agent"], out["body"] = all[0].Header.Get("X-Own"), all[0].Header.Get("User-Agent"), all[0].Digest
	}
	out["responses"] = attempt(c, func() (any, error) {
		r, err := client.Responses.New(ctx, responses.ResponseNewParams{Model: s.model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")}})
		if err != nil {
			return nil, err
		}
		return json.RawMessage(r.RawJSON()), nil
	})
	out["embeddings"] = attempt(c, func() (any, error) {
		r, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "test-embedding", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("a b")}})
		if err != nil {
			return nil, err
		}
		var short []string // the policy rounds too, to more places
		for _, x := range r.Data[0].Embedding {
			short = append(short, fmt.Sprintf("%.1f", x))
		}
		return short, nil
	})
	out["models"] = attempt(c, func() (any, error) {
		r, err := client.Models.List(ctx)
		if err != nil {
			return nil, err
		}
		return json.RawMessage(r.RawJSON()), nil
	})
	return out
}

func (c openAI) stream(s *setting) result {
	ctx, out := context.Background(), result{}
	for _, fault := range []string{"split=5,tokens=40", "crlf", "join=9,tokens=40"} {
		out[fault] = attempt(c, func() (any, error) { return c.read(ctx, s, s.call(c.name(), "stream", fault), "tell me", always) })
	}
	out["responses"] = attempt(c, func() (any, error) {
		client := c.open(s, s.call(c.name(), "stream", "split=11"))
		stream := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{Model: s.model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")}})
		var all string
		n := 0
		for stream.Next() {
			all += stream.Current().RawJSON()
			n++
		}
		return result{"events": n, "digest": digest(all)}, stream.Err()
	})
	return out
}

func (c openAI) tools(s *setting) result {
	ctx, p := context.Background(), c.params(s, "weather")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "weather", Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}}},
	})}
	return result{
		"whole": attempt(c, func() (any, error) {
			client := c.open(s, s.call(c.name(), "tools", ""))
			r, err := client.Chat.Completions.New(ctx, p)
			if err != nil {
				return nil, err
			}
			return json.RawMessage(r.RawJSON()), nil
		}),
		"stream": attempt(c, func() (any, error) { return c.collect(ctx, s, s.call(c.name(), "tools", "split=9"), p, always) }),
	}
}

func (c openAI) usage(s *setting) result {
	ctx, p := context.Background(), c.params(s, "count this please")
	out := result{"silent": attempt(c, func() (any, error) { return c.collect(ctx, s, s.call(c.name(), "usage", ""), p, always) })}
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	p.MaxTokens = openai.Int(7)
	out["asked"] = attempt(c, func() (any, error) { return c.collect(ctx, s, s.call(c.name(), "usage", ""), p, always) })
	return out
}
