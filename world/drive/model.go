package drive

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/palladium-guard/palladium"
)

// Model is a model server that answers the requests of a Player with what the world says. It speaks OpenAI chat completions
// and Anthropic messages, whole answers only.
type Model struct {
	mu      sync.Mutex
	answers map[int64]answer // what is under way, by number
}

// answer is what one exchange is to be told.
type answer struct {
	text  string
	usage palladium.Usage
	stop  string
}

// NewModel returns a model that knows of no exchange.
func NewModel() *Model { return &Model{answers: map[int64]answer{}} }

// plain is what is answered where the world keeps no text.
const plain = "Done."

func (m *Model) expect(number int64, e *palladium.Exchange) {
	a := answer{text: strings.Clone(e.Output), usage: e.Usage, stop: e.Outcome.Finish}
	if a.text == "" {
		a.text = plain
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[number] = a
}

func (m *Model) forget(number int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.answers, number)
}

func (m *Model) find(header string) (answer, int64) {
	number, _ := strconv.ParseInt(header, 10, 64) // 0 is no exchange's
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.answers[number]
	if !ok {
		a = answer{text: plain, usage: palladium.Usage{Input: 8, Output: 1}}
	}
	return a, number
}

// ServeHTTP answers.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, number := m.find(r.Header.Get(NumberHeader))
	var ask struct {
		Model     string `json:"model"`
		MaxTokens int64  `json:"max_tokens"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil && r.Method == http.MethodPost {
		http.Error(w, `{"error":{"message":"the body is no JSON","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	if ask.MaxTokens > 0 && a.usage.Output > ask.MaxTokens {
		a.usage.Output, a.stop = ask.MaxTokens, "length"
		a.usage.Reasoning = min(a.usage.Reasoning, a.usage.Output)
	}
	id := strconv.FormatInt(number, 10)
	var out any
	switch r.URL.Path {
	case "/v1/chat/completions":
		out = m.chat(id, ask.Model, &a)
	case "/v1/messages":
		out = m.message(id, ask.Model, &a)
	case "/v1/models":
		out = map[string]any{"object": "list", "data": []any{}}
	case "/health":
		return
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // a caller that left is nobody's loss
}

func (*Model) chat(id, model string, a *answer) any {
	stop := "stop"
	if a.stop == "length" {
		stop = a.stop
	}
	return map[string]any{
		"id": "chatcmpl-" + id, "object": "chat.completion", "model": model,
		"choices": []any{map[string]any{
			"index": 0, "message": map[string]any{"role": "assistant", "content": a.text}, "finish_reason": stop,
		}},
		"usage": map[string]any{
			"prompt_tokens": a.usage.Input, "completion_tokens": a.usage.Output, "total_tokens": a.usage.Input + a.usage.Output,
			"completion_tokens_details": map[string]any{"reasoning_tokens": a.usage.Reasoning},
		},
	}
}

func (*Model) message(id, model string, a *answer) any {
	stop := "end_turn"
	if a.stop == "length" {
		stop = "max_tokens"
	}
	return map[string]any{
		"id": "msg_" + id, "type": "message", "role": "assistant", "model": model,
		"content": []any{map[string]any{"type": "text", "text": a.text}}, "stop_reason": stop,
		"usage": map[string]any{"input_tokens": a.usage.Input, "output_tokens": a.usage.Output},
	}
}
