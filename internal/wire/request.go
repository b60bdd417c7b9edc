package wire

import "bytes"

// Feature is something that a request asks for beyond an answer, and that a policy may limit.
type Feature uint8

// The features.
const (
	N Feature = iota + 1
	BestOf
	Echo           // the prompt is part of the answer
	Logprobs       // log probabilities of the answer's tokens
	TopLogprobs    // those of the likeliest tokens beside them
	PromptLogprobs // those of the prompt
	LogitBias      // anything that shifts or bars single tokens
	Seed
	Prefill        // the caller writes the answer's beginning
	Reasoning      // asks for reasoning text to be shown
	PriorReasoning // earlier reasoning is sent back
	Dimensions     // of embeddings
	Guided         // the answer is held to a choice, a pattern or a grammar
	Internals      // hidden states, token ids, raw logits, embeddings for input
	Template       // how the conversation becomes a prompt is changed
	Engine         // settings of the serving engine: processors, adapters, priority, transfer
	featureEnd
)

// Features lists all features.
func Features() []Feature {
	out := make([]Feature, 0, featureEnd-1)
	for f := N; f < featureEnd; f++ {
		out = append(out, f)
	}
	return out
}

// String returns the feature's name as configurations have it.
func (f Feature) String() string {
	switch f {
	case N:
		return "n"
	case BestOf:
		return "best_of"
	case Echo:
		return "echo"
	case Logprobs:
		return "logprobs"
	case TopLogprobs:
		return "top_logprobs"
	case PromptLogprobs:
		return "prompt_logprobs"
	case LogitBias:
		return "logit_bias"
	case Seed:
		return "seed"
	case Prefill:
		return "prefill"
	case Reasoning:
		return "reasoning"
	case PriorReasoning:
		return "prior_reasoning"
	case Dimensions:
		return "dimensions"
	case Guided:
		return "guided"
	case Internals:
		return "internals"
	case Template:
		return "template"
	case Engine:
		return "engine"
	}
	return "none"
}

// Ask is one place where a request asks for a feature. Asks without effect (null, false where false is the default, an
// empty logit_bias) are not listed.
type Ask struct {
	Feature Feature
	Name    string // of the field, as documented
	Member  int    // index of the top-level member that holds it
	Within  Span   // of an element or a member within that member's value; zero when it is the member itself
	Value   Span
	Nested  bool  // inside extra_body or a like container, which some upstreams unfold
	Count   int64 // the number asked for; entries of a list or an object; bytes of a prefill as written; 1 for a flag
	Marked  bool  // of a prefill: it opens reasoning
}

// Seal is a sealed block of earlier reasoning that a request sends back.
type Seal struct {
	Block   Span
	Hash    uint64 // of the seal: the same as in the Tally of the answer that brought it
	Context uint64 // of what the caller had written last before it
}

// Request is what a request says, and where. It belongs to one goroutine and is used again by reading anew.
type Request struct {
	Document
	Endpoint Endpoint

	Model  string
	Stream bool
	// MaxTokens is the largest limit on output that the request states in any spelling, or -1.
	MaxTokens int64
	// Answers is how many answers are generated: the larger of n and best_of, at least 1, for each of the prompts.
	Answers int64
	// Prompts is how many prompts a text completion has, 1 for any other request.
	Prompts int64
	// WantsUsage tells that the caller asked for the usage chunk of a stream.
	WantsUsage bool

	Asks    []Ask
	Seals   []Seal
	Unknown []int  // indices of members that the dialect does not know
	Context uint64 // of what the caller wrote last: what a sealed block of the answer belongs to

	// What is known of the account's earlier requests, set by whoever remembers them; zero when nobody does.
	Edited int // sealed blocks sent back behind another context than the one that they were made for
	Biases int // distinct pairs of token and bias that the account has sent lately, these included

	parts [6][]Member
	wrote Member // what the caller wrote last
	fresh bool   // Context is not yet that of wrote
}

// keep is how much memory, in parts, a request takes along to the next body.
const keep = 4096

// Begin reads body as a Document and clears everything else.
func (r *Request) Begin(e Endpoint, body []byte) error {
	r.Endpoint, r.Model, r.Stream, r.MaxTokens, r.Answers, r.Prompts, r.WantsUsage = e, "", false, -1, 1, 1, false
	for i := range r.parts {
		if cap(r.parts[i]) > keep {
			r.parts[i] = nil
		}
	}
	if cap(r.Asks)+cap(r.Seals) > keep {
		r.Asks, r.Seals = nil, nil
	}
	r.Asks, r.Seals, r.Unknown, r.Context = r.Asks[:0], r.Seals[:0], r.Unknown[:0], 0
	r.Edited, r.Biases, r.fresh = 0, 0, false
	return r.Document.Read(body)
}

// Parts lists the parts of the value at s as the function Parts does. There are six lists, from 0 on, each valid until
// it is asked for again.
func (r *Request) Parts(list int, s Span) []Member {
	r.parts[list] = Parts(r.parts[list][:0], r.Body, s)
	return r.parts[list]
}

// Inside returns the bytes between the quotes of the string m.
func (r *Request) Inside(m Member) []byte { return r.Body[m.Value.Start+1 : m.Value.End-1] }

// Is reports whether m is the string word.
func (r *Request) Is(m Member, word string) bool {
	if m.Kind != '"' {
		return false
	}
	in := r.Inside(m)
	return string(in) == word || bytes.IndexByte(in, '\\') >= 0 && Unquote(m.Value.Of(r.Body)) == word
}

// Wrote notes what the caller wrote in one turn, a string or parts with texts, as the context of what follows. A turn
// without text, such as the result of a tool, changes nothing. It uses the lists 2 and 3.
func (r *Request) Wrote(content Member) {
	some := content.Kind == '"'
	if content.Kind == '[' {
		for _, p := range r.Parts(2, content.Value) {
			for _, q := range r.Parts(3, p.Value) {
				some = some || q.Name == "text" && q.Kind == '"'
			}
		}
	}
	if some {
		r.wrote, r.fresh = content, true
	}
}

// Settle sets Context to what the caller wrote last. Dialects call it when the conversation is read.
func (r *Request) Settle() {
	if !r.fresh {
		return
	}
	r.Context, r.fresh = HashStart, false
	if r.wrote.Kind == '"' {
		r.Context = Hash(r.Context, r.Inside(r.wrote))
		return
	}
	for _, p := range r.Parts(4, r.wrote.Value) {
		for _, q := range r.Parts(5, p.Value) {
			if q.Name == "text" && q.Kind == '"' {
				r.Context = Hash(r.Context, r.Inside(q))
			}
		}
	}
}

// Sealed notes a sealed block of earlier reasoning.
func (r *Request) Sealed(block Span, seal Member) {
	if seal.Kind == '"' && seal.Value.Len() > 2 {
		r.Settle()
		r.Seals = append(r.Seals, Seal{Block: block, Hash: Hash(HashStart, r.Inside(seal)), Context: r.Context})
	}
}

// Begun notes a last turn that the model is to continue. It uses the list 2.
func (r *Request) Begun(member int, turn Span, content Member) {
	ask := Ask{Feature: Prefill, Name: "last message", Member: member, Within: turn, Value: turn}
	texts := content.Value
	switch content.Kind {
	case '"':
		ask.Count = int64(texts.Len() - 2)
	case '[':
		for _, p := range r.Parts(2, texts) {
			ask.Count += int64(p.Value.Len())
			for _, q := range r.Parts(3, p.Value) {
				if q.Name == "text" && q.Kind == '"' {
					ask.Count += int64(q.Value.Len() - 2 - p.Value.Len())
				}
			}
		}
	}
	ask.Marked = OpensReasoning(texts.Of(r.Body))
	r.Asks = append(r.Asks, ask)
}

// Asked returns the first ask for f, or nil.
func (r *Request) Asked(f Feature) *Ask {
	for i := range r.Asks {
		if r.Asks[i].Feature == f {
			return &r.Asks[i]
		}
	}
	return nil
}

// SetModel changes the model in p.
func (r *Request) SetModel(p *Patch, model string) {
	p.Set(&r.Document, "model", quote(model))
}

// OpensReasoning reports whether a text, as written in JSON, opens a span of reasoning in one of the usual markups.
func OpensReasoning(text []byte) bool {
	text = bytes.ToLower(text)
	for _, mark := range [...]string{"<think", "<reason", "<scratchpad", "<|channel", "<|begin_of_thought", "<seed:think", "\\u003cthink"} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return false
}
