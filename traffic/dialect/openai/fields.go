package openai

import "github.com/palladium-guard/palladium/internal/wire"

// fields is the table of top-level fields: OpenAI's own, and those that serving engines add.
func fields() *wire.Fields {
	rows := []wire.Field{
		{Name: "stream", Shape: wire.Flag},
		{Name: "max_tokens", Shape: wire.Limit},
		{Name: "max_completion_tokens", Shape: wire.Limit},
		{Name: "max_output_tokens", Shape: wire.Limit},
		{Name: "model", Top: true},
		{Name: "messages", Top: true},
		{Name: "input", Top: true},
		{Name: "prompt", Top: true},
		{Name: "suffix", Top: true},
		{Name: "instructions", Top: true},
		{Name: "include", Top: true},
		{Name: "reasoning", Top: true},
		{Name: "reasoning_effort", Top: true},
		{Name: "stream_options", Top: true},
	}
	for _, name := range []string{
		"encoding_format", "temperature",
		"top_p", "stop", "presence_penalty", "frequency_penalty", "user", "metadata", "store",
		"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "text", "modalities", "audio",
		"prediction", "service_tier", "verbosity", "web_search_options", "previous_response_id", "conversation", "background",
		"truncation", "max_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "context_management",
	} {
		rows = append(rows, wire.Field{Name: name})
	}
	return wire.NewFields(append(rows, wire.Common()...), wire.Containers())
}
