package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/world/upstream"
)

func start(t *testing.T, c upstream.Config) (*upstream.Server, string) {
	t.Helper()
	s := upstream.New(c)
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return s, h.URL
}

func post(t *testing.T, url, body string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

// event is one parsed event of a stream.
type event struct {
	name string
	data string
}

func parse(b []byte) (out []event) {
	var e event
	for line := range strings.SplitSeq(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				out = append(out, e)
			}
			e = event{}
		}
	}
	return out
}

func dig(t *testing.T, text string, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

const (
	chat      = `{"model":"m","messages":[{"role":"user","content":"say something now"}]%s}`
	weather   = `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}`
	toolsChat = `,"tools":[{"type":"function","function":{"name":"weather","parameters":` + weather + `}},{"type":"function","function":{"name":"time","parameters":{"type":"object"}}}]`
)

// What a stream says is what the answer that is no stream says, in every dialect.
func TestStreamsAgree(t *testing.T) {
	_, url := start(t, upstream.Config{})
	collect := func(path ...any) func(*testing.T, []event) string {
		return func(t *testing.T, es []event) string {
			var out strings.Builder
			for _, e := range es {
				if e.data == "[DONE]" {
					continue
				}
				if s, ok := dig(t, e.data, path...).(string); ok {
					out.WriteString(s)
				}
			}
			return out.String()
		}
	}
	ofType := func(kind string, path ...any) func(*testing.T, []event) string {
		return func(t *testing.T, es []event) string {
			es = slices.DeleteFunc(slices.Clone(es), func(e event) bool { return e.name != kind })
			return collect(path...)(t, es)
		}
	}
	messages := `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"say something"}]}]%s}`
	responses := `{"model":"m","input":"say something"%s}`
	for _, row := range []struct {
		name, path, body, more string
		whole                  []any
		stream                 func(*testing.T, []event) string
		last                   string
	}{
		{"chat", "/v1/chat/completions", chat, "", []any{"choices", 0, "message", "content"}, collect("choices", 0, "delta", "content"), "[DONE]"},
		{"chat limit", "/v1/chat/completions", chat, `,"max_tokens":3`, []any{"choices", 0, "message", "content"}, collect("choices", 0, "delta", "content"), "[DONE]"},
		{"chat reasoning", "/v1/chat/completions", chat, `,"reasoning_effort":"low"`, []any{"choices", 0, "message", "reasoning_content"}, collect("choices", 0, "delta", "reasoning_content"), "[DONE]"},
		{"chat tools", "/v1/chat/completions", chat, toolsChat + `,"parallel_tool_calls":false`, []any{"choices", 0, "message", "tool_calls", 0, "function", "arguments"}, collect("choices", 0, "delta", "tool_calls", 0, "function", "arguments"), "[DONE]"},
		{"chat schema", "/v1/chat/completions", chat, `,"response_format":{"type":"json_schema","json_schema":{"schema":` + weather + `}}`, []any{"choices", 0, "message", "content"}, collect("choices", 0, "delta", "content"), "[DONE]"},
		{"completions", "/v1/completions", `{"model":"m","prompt":"say"%s}`, "", []any{"choices", 0, "text"}, collect("choices", 0, "text"), "[DONE]"},
		{"responses", "/v1/responses", responses, "", []any{"output", 0, "content", 0, "text"}, ofType("response.output_text.delta", "delta"), ""},
		{"responses tools", "/v1/responses", responses, `,"tools":[{"type":"function","name":"weather","parameters":` + weather + `}]`, []any{"output", 0, "arguments"}, ofType("response.function_call_arguments.delta", "delta"), ""},
		{"responses reasoning", "/v1/responses", responses, `,"reasoning":{"effort":"low","summary":"auto"}`, []any{"output", 0, "summary", 0, "text"}, ofType("response.reasoning_summary_text.delta", "delta"), ""},
		{"messages", "/v1/messages", messages, "", []any{"content", 0, "text"}, collect("delta", "text"), `{"type":"message_stop"}`},
		{"messages thinking", "/v1/messages", messages, `,"thinking":{"type":"enabled","budget_tokens":1024}`, []any{"content", 0, "thinking"}, collect("delta", "thinking"), `{"type":"message_stop"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, whole, err := post(t, url+row.path, fmt.Sprintf(row.body, row.more))
			if err != nil {
				t.Fatal(err)
			}
			res, stream, err := post(t, url+row.path, fmt.Sprintf(row.body, row.more+`,"stream":true,"stream_options":{"include_usage":true}`))
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%v, status %d: %s", err, res.StatusCode, stream)
			}
			want, _ := dig(t, string(whole), row.whole...).(string)
			es := parse(stream)
			if got := row.stream(t, es); got != want || want == "" {
				t.Errorf("stream says %q, want %q of %s", got, want, whole)
			}
			if last := es[len(es)-1].data; row.last != "" && last != row.last {
				t.Errorf("ends with %s", last)
			}
			again, _, _ := post(t, url+row.path, fmt.Sprintf(row.body, row.more))
			if a, b := again.Header.Get("X-Request-Id")+again.Header.Get("Request-Id"), res.Header.Get("X-Request-Id")+res.Header.Get("Request-Id"); a != b || a == "" {
				t.Errorf("request ids are %q and %q", a, b)
			}
		})
	}
}

// Usage is the words, exactly.
func TestUsage(t *testing.T) {
	_, url := start(t, upstream.Config{})
	for _, more := range []string{"", `,"max_tokens":5`, `,"n":3`} {
		_, b, err := post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, more))
		if err != nil {
			t.Fatal(err)
		}
		words := 0
		choices, _ := dig(t, string(b), "choices").([]any)
		for i := range choices {
			words += upstream.Count(dig(t, string(b), "choices", i, "message", "content").(string))
		}
		if got := dig(t, string(b), "usage", "completion_tokens"); got != float64(words) {
			t.Errorf("%s: %v completion tokens, %d words", more, got, words)
		}
		if got := dig(t, string(b), "usage", "prompt_tokens"); got != 3.0 {
			t.Errorf("%v prompt tokens, want 3", got)
		}
		_, b, _ = post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, more+`,"stream":true,"stream_options":{"include_usage":true}`))
		es := parse(b)
		if got := dig(t, es[len(es)-2].data, "usage", "completion_tokens"); got != float64(words) {
			t.Errorf("%s: stream has %v completion tokens, %d words", more, got, words)
		}
		if _, b, _ = post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, more+`,"stream":true`)); bytes.Contains(b, []byte(`"usage"`)) {
			t.Error("usage for a caller who did not ask")
		}
	}
	if _, b, _ := post(t, url+"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"one two three"}]}`); dig(t, string(b), "input_tokens") != 3.0 {
		t.Errorf("count_tokens: %s", b)
	}
}

func TestRefusals(t *testing.T) {
	_, url := start(t, upstream.Config{Key: "secret", Models: []string{"m"}})
	key := []string{"Authorization", "Bearer secret"}
	messages := `{"model":"m%s","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`
	for _, row := range []struct {
		name, path, body string
		header           []string
		status           int
		kind             string
	}{
		{"no key", "/v1/chat/completions", fmt.Sprintf(chat, ""), nil, 401, "invalid_request_error"},
		{"anthropic key", "/v1/messages", fmt.Sprintf(messages, ""), []string{"X-Api-Key", "secret"}, 200, ""},
		{"no anthropic key", "/v1/messages", fmt.Sprintf(messages, ""), nil, 401, "authentication_error"},
		{"limited", "/v1/chat/completions", fmt.Sprintf(chat, ""), append(key, upstream.FaultHeader, "status=429"), 429, "rate_limit_error"},
		{"overloaded", "/v1/messages", fmt.Sprintf(messages, "!status=529"), key, 529, "overloaded_error"},
		{"unknown model", "/v1/messages", fmt.Sprintf(messages, "n"), key, 404, "not_found_error"},
		{"unknown path", "/v1/audio", "{}", key, 404, "invalid_request_error"},
		{"unknown fault", "/v1/chat/completions", fmt.Sprintf(chat, ""), append(key, upstream.FaultHeader, "sing"), 400, "invalid_request_error"},
		{"no JSON", "/v1/chat/completions", "{", key, 400, "invalid_request_error"},
	} {
		t.Run(row.name, func(t *testing.T) {
			res, b, err := post(t, url+row.path, row.body, row.header...)
			if err != nil || res.StatusCode != row.status {
				t.Fatalf("%v, status %d: %s", err, res.StatusCode, b)
			}
			if row.kind != "" && dig(t, string(b), "error", "type") != row.kind {
				t.Errorf("got %s, want %s", b, row.kind)
			}
		})
	}
	for i, want := range []int{429, 429, 200} {
		res, _, err := post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, ""), append(key, upstream.FaultHeader, "status=429,times=2,retry=20ms")...)
		if err != nil || res.StatusCode != want {
			t.Errorf("request %d: %v, status %d, want %d", i, err, res.StatusCode, want)
		}
		if want == 429 && (res.Header.Get("Retry-After-Ms") != "20" || res.Header.Get("Retry-After") != "1") {
			t.Errorf("headers %v", res.Header)
		}
	}
}

func TestFaults(t *testing.T) {
	s, url := start(t, upstream.Config{})
	stream := func(t *testing.T, fault string) ([]event, []byte, error) {
		t.Helper()
		_, b, err := post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, `,"stream":true`), upstream.FaultHeader, fault)
		return parse(b), b, err
	}
	clean, cleanBytes, err := stream(t, "tokens=12")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("same bytes", func(t *testing.T) {
		for _, f := range []string{"split=1", "split=7", "join=100", "join=3", "pace=1ms"} {
			if _, b, err := stream(t, "tokens=12+"+f); err != nil || !bytes.Equal(b, cleanBytes) {
				t.Errorf("%s: %v, %d bytes, want %d", f, err, len(b), len(cleanBytes))
			}
		}
		if es, b, err := stream(t, "tokens=12,crlf"); err != nil || !slices.Equal(es, clean) || bytes.Count(b, []byte("\r\n")) != 2*len(es) {
			t.Errorf("crlf: %v", err)
		}
	})
	t.Run("cut", func(t *testing.T) {
		es, _, err := stream(t, "tokens=12,cut=5")
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(es) != 6 {
			t.Errorf("got %d events and %v", len(es), err)
		}
		if _, _, err := post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, ""), upstream.FaultHeader, "cut=1"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("no stream: %v", err)
		}
	})
	t.Run("error", func(t *testing.T) {
		es, _, err := stream(t, "tokens=12,error=5")
		if err != nil || len(es) != 7 || dig(t, es[6].data, "error", "code") != "upstream_failed" {
			t.Errorf("got %v and %v", es, err)
		}
	})
	t.Run("stop", func(t *testing.T) {
		if es, _, err := stream(t, "tokens=12,stop=5"); err != nil || len(es) != 6 {
			t.Errorf("got %d events and %v", len(es), err)
		}
	})
	t.Run("ping", func(t *testing.T) {
		if _, b, err := stream(t, "tokens=2,quiet=60ms,ping=10ms"); err != nil || bytes.Count(b, []byte(": ping\n\n")) < 2 {
			t.Errorf("%v in %s", err, b)
		}
	})
	t.Run("giant", func(t *testing.T) {
		if es, _, err := stream(t, "body=1000000"); err != nil || len(dig(t, es[1].data, "choices", 0, "delta", "content").(string)) != 1_000_000 {
			t.Errorf("got %v", err)
		}
	})
	for _, f := range []string{"first=1h", "quiet=1h", "hang=3", "pace=1h", "pace=1h,ping=1ms"} {
		t.Run("cancel "+f, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(chat, `,"stream":true`)))
			req.Header.Set(upstream.FaultHeader, f+",tag="+strings.ReplaceAll(t.Name(), ",", ""))
			done := make(chan struct{})
			go func() {
				defer close(done)
				if res, err := http.DefaultClient.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, bufio.NewReader(res.Body))
					_ = res.Body.Close()
				}
			}()
			mine := func(q upstream.Request) bool { return strings.HasPrefix(q.Header.Get(upstream.FaultHeader), f+",tag") }
			if _, err := s.Await(t.Context(), mine); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
			left := time.Now()
			cancel()
			<-done
			q, err := s.Await(t.Context(), func(q upstream.Request) bool { return mine(q) && q.Outcome != upstream.Running })
			if err != nil || q.Outcome != upstream.Cancelled {
				t.Fatalf("got %v and %v", q.Outcome, err)
			}
			if late := q.Ended.Sub(left); late > 2*time.Second {
				t.Errorf("seen %v after the caller left", late)
			}
		})
	}
}

func TestOtherEndpoints(t *testing.T) {
	_, url := start(t, upstream.Config{})
	_, b, err := post(t, url+"/v1/embeddings", `{"model":"e","input":["one two","three"],"dimensions":8}`)
	if v, _ := dig(t, string(b), "data", 1, "embedding").([]any); err != nil || len(v) != 8 || dig(t, string(b), "usage", "prompt_tokens") != 3.0 {
		t.Errorf("embeddings: %v, %s", err, b)
	}
	if _, b, _ := post(t, url+"/v1/embeddings", `{"model":"e","input":"one","dimensions":2,"encoding_format":"base64"}`); len(dig(t, string(b), "data", 0, "embedding").(string)) != 12 {
		t.Errorf("base64: %s", b)
	}
	get := func(path, version string) string {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if version != "" {
			req.Header.Set("Anthropic-Version", version)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	if got := dig(t, get("/v1/models", ""), "data", 0, "object"); got != "model" {
		t.Errorf("models: %v", got)
	}
	if got := dig(t, get("/v1/models", "2023-06-01"), "data", 0, "type"); got != "model" {
		t.Errorf("anthropic models: %v", got)
	}
	if got := dig(t, get("/v1/models/test-model", ""), "id"); got != "test-model" {
		t.Errorf("model: %v", got)
	}
	_, b, _ = post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, `,"logprobs":true,"top_logprobs":3`))
	if top, _ := dig(t, string(b), "choices", 0, "logprobs", "content", 0, "top_logprobs").([]any); len(top) != 3 {
		t.Errorf("logprobs: %s", b)
	}
}

// The log keeps the newest requests, in order, with what was sent.
func TestSeen(t *testing.T) {
	s, url := start(t, upstream.Config{Log: 3})
	for i := range 5 {
		if _, _, err := post(t, url+"/v1/chat/completions", fmt.Sprintf(chat, ""), "X-Own", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	var own, numbers []string
	for _, q := range s.Seen() {
		own = append(own, q.Header.Get("X-Own"))
		numbers = append(numbers, fmt.Sprint(q.Number))
	}
	if got := fmt.Sprint(own, numbers); got != "[2 3 4] [3 4 5]" {
		t.Errorf("remembers %s", got)
	}
	res, err := http.Get(url + upstream.SeenPath + "?after=4&tag=something")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var list []upstream.Request
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil || len(list) != 1 || string(list[0].Body) != fmt.Sprintf(chat, "") || list[0].Outcome != upstream.Complete {
		t.Errorf("got %v and %v", list, err)
	}
}

// Serve ends when it is told to, and speaks both versions of HTTP.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := upstream.New(upstream.Config{})
	go func() { done <- s.Serve(ctx, l) }()
	for _, two := range []bool{false, true} {
		var p http.Protocols
		p.SetHTTP1(!two)
		p.SetUnencryptedHTTP2(two)
		c := &http.Client{Transport: &http.Transport{Protocols: &p}}
		res, err := c.Post("http://"+l.Addr().String()+"/v1/chat/completions", "application/json", strings.NewReader(fmt.Sprintf(chat, `,"stream":true`)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.HasSuffix(b, []byte("data: [DONE]\n\n")) || (res.ProtoMajor == 2) != two {
			t.Errorf("HTTP/%d: %v, %s", res.ProtoMajor, err, b)
		}
		c.CloseIdleConnections()
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("does not end")
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("status=429+times=2,pace=20ms;crlf")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := upstream.ParseFault(text); err == nil {
			if again, err := upstream.ParseFault(text); err != nil || again != got {
				t.Errorf("reads %q two ways", text)
			}
		}
	})
}
