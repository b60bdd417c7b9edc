package otlp

// Attribute names, newest first: OpenTelemetry's semantic conventions for generative AI (v1.27 to v1.41 and the
// repository of their own that followed), for HTTP and for users, and the names of OpenLLMetry that came before them.
// A list is tried in order.

const (
	operationName   = "gen_ai.operation.name"
	responseID      = "gen_ai.response.id"
	inputMessages   = "gen_ai.input.messages"
	outputMessages  = "gen_ai.output.messages"
	systemText      = "gen_ai.system_instructions"
	toolDefinitions = "gen_ai.tool.definitions"
	finishReasons   = "gen_ai.response.finish_reasons"
	openAIType      = "openai.api.type"
	eventNameKey    = "event.name"

	// Flat names with a running number after them: gen_ai.prompt.0.content.
	flatPrompt     = "gen_ai.prompt."
	flatCompletion = "gen_ai.completion."
	flatFunction   = "llm.request.functions."

	// Events.
	eventDetails    = "gen_ai.client.inference.operation.details"
	eventSystem     = "gen_ai.system.message"
	eventUser       = "gen_ai.user.message"
	eventAssistant  = "gen_ai.assistant.message"
	eventTool       = "gen_ai.tool.message"
	eventChoice     = "gen_ai.choice"
	eventPrompt     = "gen_ai.content.prompt"
	eventCompletion = "gen_ai.content.completion"
	eventContent    = "gen_ai.event.content"
)

func requestModel() []string { return []string{"gen_ai.request.model", "gen_ai.response.model"} }
func provider() []string     { return []string{"gen_ai.provider.name", "gen_ai.system"} }

// Who and from where: looked for on the span, then on its ancestors in the same line, then on the resource.
func userID() []string {
	return []string{"user.id", "enduser.id", "enduser.pseudo.id", "traceloop.association.properties.user_id", "user.hash"}
}
func sessionID() []string { return []string{"session.id"} }
func clientAddress() []string {
	return []string{"client.address", "http.client_ip", "source.address", "net.sock.peer.addr"}
}
func userAgent() []string     { return []string{"user_agent.original", "http.user_agent"} }
func clientTLS() []string     { return []string{"tls.client.ja4", "tls.client.ja3"} }
func clientDevice() []string  { return []string{"device.id"} }
func clientASN() []string     { return []string{"client.as.number", "source.as.number"} }
func clientCountry() []string { return []string{"client.geo.country.iso_code", "geo.country.iso_code"} }
func httpStatus() []string    { return []string{"http.response.status_code", "http.status_code"} }

// What was asked for.
func temperature() []string { return []string{"gen_ai.request.temperature"} }
func topP() []string        { return []string{"gen_ai.request.top_p"} }
func maxTokens() []string   { return []string{"gen_ai.request.max_tokens"} }
func choices() []string     { return []string{"gen_ai.request.choice.count"} }
func seed() []string        { return []string{"gen_ai.request.seed", "gen_ai.openai.request.seed"} }
func streamed() []string {
	return []string{"gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"}
}
func stops() []string { return []string{"gen_ai.request.stop_sequences"} }
func reasoning() []string {
	return []string{"gen_ai.request.reasoning.effort", "gen_ai.request.reasoning_effort", "gen_ai.openai.request.reasoning_effort"}
}

// What was used.
func inputTokens() []string {
	return []string{"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"}
}
func outputTokens() []string {
	return []string{"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"}
}
func reasoningTokens() []string {
	return []string{"gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"}
}
func cachedTokens() []string {
	return []string{"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"}
}
func firstChunk() []string { return []string{"gen_ai.response.time_to_first_chunk"} } // seconds

// isInference reports whether an operation is one request to a model. Agents, tools and workflows wrap such requests.
func isInference(operation string) bool {
	switch operation {
	case "chat", "text_completion", "generate_content", "embeddings":
		return true
	}
	return false
}

// api translates provider and operation to the contract's names.
func api(system, operation, kind string) string {
	switch {
	case operation == "":
		return system
	case (system == "openai" || system == "") && operation == "chat" && kind == "responses":
		return "openai.responses"
	case system == "openai" && operation == "text_completion":
		return "openai.completions"
	case system == "anthropic" && operation == "chat":
		return "anthropic.messages"
	case system == "":
		return operation
	}
	return system + "." + operation
}
