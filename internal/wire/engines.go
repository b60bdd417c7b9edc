package wire

// Common is the table of fields with which a request asks for more than an answer: those of the OpenAI API, and those that
// vLLM, SGLang, llama.cpp, Text Generation Inference and other servers add to whatever API they speak.
func Common() []Field {
	rows := []Field{
		{Name: "max_new_tokens", Shape: Limit},
		{Name: "n_predict", Shape: Limit},
		{Name: "num_predict", Shape: Limit},

		{Name: "n", Feature: N, Shape: Above},
		{Name: "n_cmpl", Feature: N, Shape: Above},
		{Name: "best_of", Feature: BestOf, Shape: Above},
		{Name: "use_beam_search", Feature: BestOf, Shape: Flag},
		{Name: "echo", Feature: Echo, Shape: Flag},
		{Name: "seed", Feature: Seed, Shape: Set},

		{Name: "logprobs", Feature: Logprobs, Shape: FlagSize},
		{Name: "return_logprob", Feature: Logprobs, Shape: Flag},
		{Name: "top_logprobs", Feature: TopLogprobs, Shape: Whole},
		{Name: "top_logprobs_num", Feature: TopLogprobs, Shape: Whole},
		{Name: "n_probs", Feature: TopLogprobs, Shape: Whole},
		{Name: "top_n_tokens", Feature: TopLogprobs, Shape: Whole},
		{Name: "logprob_token_ids", Feature: TopLogprobs, Shape: Entries},
		{Name: "token_ids_logprob", Feature: TopLogprobs, Shape: Entries},
		{Name: "prompt_logprobs", Feature: PromptLogprobs, Shape: Whole},
		{Name: "logprob_start_len", Feature: PromptLogprobs, Shape: Set},
		{Name: "decoder_input_details", Feature: PromptLogprobs, Shape: Flag},

		{Name: "logit_bias", Feature: LogitBias, Shape: Entries},
		{Name: "allowed_token_ids", Feature: LogitBias, Shape: Entries},
		{Name: "bad_words", Feature: LogitBias, Shape: Entries},
		{Name: "bad_words_ids", Feature: LogitBias, Shape: Entries},
		{Name: "banned_tokens", Feature: LogitBias, Shape: Entries},
		{Name: "custom_token_bans", Feature: LogitBias, Shape: Entries},

		{Name: "continue_final_message", Feature: Prefill, Shape: Flag},
		{Name: "add_generation_prompt", Feature: Prefill, Shape: FlagOff},
		{Name: "dimensions", Feature: Dimensions, Shape: Whole},

		{Name: "guided_choice", Feature: Guided, Shape: Entries},
		{Name: "guided_regex", Feature: Guided, Shape: Entries},
		{Name: "guided_json", Feature: Guided, Shape: Entries},
		{Name: "guided_grammar", Feature: Guided, Shape: Entries},
		{Name: "structured_outputs", Feature: Guided, Shape: Entries},
		{Name: "regex", Feature: Guided, Shape: Entries},
		{Name: "ebnf", Feature: Guided, Shape: Entries},
		{Name: "grammar", Feature: Guided, Shape: Entries},
		{Name: "json_schema", Feature: Guided, Shape: Entries},

		{Name: "return_token_ids", Feature: Internals, Shape: Flag},
		{Name: "return_tokens", Feature: Internals, Shape: Flag},
		{Name: "return_tokens_as_token_ids", Feature: Internals, Shape: Flag},
		{Name: "return_prompt_token_ids", Feature: Internals, Shape: Flag},
		{Name: "return_hidden_states", Feature: Internals, Shape: Flag},
		{Name: "return_routed_experts", Feature: Internals, Shape: Flag},
		{Name: "prompt_embeds", Feature: Internals, Shape: Entries},
		{Name: "input_embeds", Feature: Internals, Shape: Entries},
		{Name: "details", Feature: Internals, Shape: Flag},

		{Name: "chat_template", Feature: Template, Shape: Entries},
		{Name: "separate_reasoning", Feature: Reasoning, Shape: FlagOff},
		{Name: "reasoning_format", Feature: Reasoning, Shape: Set},
		{Name: "skip_special_tokens", Feature: Template, Shape: FlagOff},

		{Name: "logits_processors", Feature: Engine, Shape: Entries},
		{Name: "custom_logit_processor", Feature: Engine, Shape: Entries},
		{Name: "custom_params", Feature: Engine, Shape: Entries},
		{Name: "vllm_xargs", Feature: Engine, Shape: Entries},
		{Name: "kv_transfer_params", Feature: Engine, Shape: Entries},
		{Name: "lora_path", Feature: Engine, Shape: Entries},
		{Name: "lora", Feature: Engine, Shape: Entries},
		{Name: "session_params", Feature: Engine, Shape: Entries},
		{Name: "bootstrap_host", Feature: Engine, Shape: Entries},
		{Name: "bootstrap_port", Feature: Engine, Shape: Set},
		{Name: "bootstrap_room", Feature: Engine, Shape: Set},
		{Name: "id_slot", Feature: Engine, Shape: Set},
		{Name: "priority", Feature: Engine, Shape: Set},
	}
	for _, name := range []string{
		"top_k", "min_p", "repetition_penalty", "length_penalty", "stop_token_ids", "min_tokens", "ignore_eos", "cache_salt",
		"documents", "request_id", "rid", "mm_processor_kwargs", "media_io_kwargs", "truncate_prompt_tokens",
		"add_special_tokens", "include_stop_str_in_output", "spaces_between_special_tokens", "repetition_detection",
		"cache_prompt", "timings_per_token", "include_reasoning", "stream_reasoning", "chat_template_kwargs",
	} {
		rows = append(rows, Field{Name: name})
	}
	return rows
}

// Containers are fields that some servers unfold into the request, so that what lies in them counts as asked for.
func Containers() []string {
	return []string{"extra_body", "extra_params", "sampling_params", "options", "parameters", "nvext", "generation_config"}
}
