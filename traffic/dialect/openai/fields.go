package openai

import "github.com/palladium-guard/palladium/internal/wire"

// fields is the table of top-level fields: OpenAI's own, and those that vLLM, SGLang, llama.cpp, Text Generation Inference
// and the gateways in front of them add.
func fields() *wire.Fields {
	rows := []wire.Field{
		{Name: "stream", Shape: wire.Flag},
		{Name: "max_tokens", Shape: wire.Limit},
		{Name: "max_completion_tokens", Shape: wire.Limit},
		{Name: "max_output_tokens", Shape: wire.Limit},
		{Name: "max_new_tokens", Shape: wire.Limit},
		{Name: "n_predict", Shape: wire.Limit},

		{Name: "n", Feature: wire.N, Shape: wire.Above},
		{Name: "n_cmpl", Feature: wire.N, Shape: wire.Above},
		{Name: "best_of", Feature: wire.BestOf, Shape: wire.Above},
		{Name: "use_beam_search", Feature: wire.BestOf, Shape: wire.Flag},
		{Name: "echo", Feature: wire.Echo, Shape: wire.Flag},
		{Name: "seed", Feature: wire.Seed, Shape: wire.Set},

		{Name: "logprobs", Feature: wire.Logprobs, Shape: wire.FlagSize},
		{Name: "return_logprob", Feature: wire.Logprobs, Shape: wire.Flag},
		{Name: "top_logprobs", Feature: wire.TopLogprobs, Shape: wire.Whole},
		{Name: "top_logprobs_num", Feature: wire.TopLogprobs, Shape: wire.Whole},
		{Name: "n_probs", Feature: wire.TopLogprobs, Shape: wire.Whole},
		{Name: "top_n_tokens", Feature: wire.TopLogprobs, Shape: wire.Whole},
		{Name: "logprob_token_ids", Feature: wire.TopLogprobs, Shape: wire.Entries},
		{Name: "token_ids_logprob", Feature: wire.TopLogprobs, Shape: wire.Entries},
		{Name: "prompt_logprobs", Feature: wire.PromptLogprobs, Shape: wire.Whole},
		{Name: "logprob_start_len", Feature: wire.PromptLogprobs, Shape: wire.Set},
		{Name: "decoder_input_details", Feature: wire.PromptLogprobs, Shape: wire.Flag},

		{Name: "logit_bias", Feature: wire.LogitBias, Shape: wire.Entries},
		{Name: "allowed_token_ids", Feature: wire.LogitBias, Shape: wire.Entries},
		{Name: "bad_words", Feature: wire.LogitBias, Shape: wire.Entries},
		{Name: "bad_words_ids", Feature: wire.LogitBias, Shape: wire.Entries},
		{Name: "banned_tokens", Feature: wire.LogitBias, Shape: wire.Entries},
		{Name: "custom_token_bans", Feature: wire.LogitBias, Shape: wire.Entries},

		{Name: "continue_final_message", Feature: wire.Prefill, Shape: wire.Flag},
		{Name: "dimensions", Feature: wire.Dimensions, Shape: wire.Whole},

		{Name: "guided_choice", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "guided_regex", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "guided_json", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "guided_grammar", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "structured_outputs", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "regex", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "ebnf", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "grammar", Feature: wire.Guided, Shape: wire.Entries},
		{Name: "json_schema", Feature: wire.Guided, Shape: wire.Entries},

		{Name: "return_token_ids", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "return_tokens", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "return_tokens_as_token_ids", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "return_prompt_token_ids", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "return_hidden_states", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "return_routed_experts", Feature: wire.Internals, Shape: wire.Flag},
		{Name: "prompt_embeds", Feature: wire.Internals, Shape: wire.Entries},
		{Name: "input_embeds", Feature: wire.Internals, Shape: wire.Entries},
		{Name: "details", Feature: wire.Internals, Shape: wire.Flag},

		{Name: "chat_template", Feature: wire.Template, Shape: wire.Entries},
		{Name: "add_generation_prompt", Feature: wire.Template, Shape: wire.FlagOff},
		{Name: "separate_reasoning", Feature: wire.Template, Shape: wire.FlagOff},
		{Name: "skip_special_tokens", Feature: wire.Template, Shape: wire.FlagOff},

		{Name: "logits_processors", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "custom_logit_processor", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "custom_params", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "vllm_xargs", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "kv_transfer_params", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "lora_path", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "lora", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "session_params", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "bootstrap_host", Feature: wire.Engine, Shape: wire.Entries},
		{Name: "bootstrap_port", Feature: wire.Engine, Shape: wire.Set},
		{Name: "bootstrap_room", Feature: wire.Engine, Shape: wire.Set},
		{Name: "id_slot", Feature: wire.Engine, Shape: wire.Set},
		{Name: "priority", Feature: wire.Engine, Shape: wire.Set},
	}
	for _, name := range []string{
		"model", "messages", "input", "prompt", "suffix", "instructions", "include", "reasoning", "reasoning_effort",
		"include_reasoning", "stream_reasoning", "chat_template_kwargs", "stream_options", "encoding_format", "temperature",
		"top_p", "top_k", "min_p", "stop", "presence_penalty", "frequency_penalty", "repetition_penalty", "user", "metadata", "store",
		"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "text", "modalities", "audio",
		"prediction", "service_tier", "verbosity", "web_search_options", "previous_response_id", "conversation", "background",
		"truncation", "max_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "context_management",
		"stop_token_ids", "min_tokens", "ignore_eos", "cache_salt", "documents", "request_id", "rid", "mm_processor_kwargs",
		"media_io_kwargs", "truncate_prompt_tokens", "add_special_tokens", "include_stop_str_in_output", "length_penalty",
		"spaces_between_special_tokens", "repetition_detection", "cache_prompt", "timings_per_token",
	} {
		rows = append(rows, wire.Field{Name: name})
	}
	return wire.NewFields(rows, containers())
}

// containers are fields that some upstreams unfold into the request.
func containers() []string {
	return []string{"extra_body", "extra_params", "sampling_params", "options", "parameters", "nvext", "generation_config"}
}
