package palladium

// Observation is all that is kept of one exchange: keyed hashes, counts and a small vector. No text can be read
// back from it. Hashes are 64-bit and keyed with a secret of the installation; zero means absent. The slices
// belong to the Observation and are reused by Reset.
type Observation struct {
	ID      uint64 // of the exchange id
	Time    int64  // Unix milliseconds of the request's arrival
	Account string // account id as the operator writes it

	// What the connection showed.
	Credential uint64
	IP         uint64 // whole address
	Net        uint64 // /24 of an IPv4, /48 of an IPv6 address
	ASN        uint32
	Client     uint64 // tuple of JA4, header order and user agent
	TLS        uint64 // JA4 alone
	Headers    uint64 // header order alone
	UserAgent  uint64
	Device     uint64

	// The request's form.
	API       uint64
	Model     uint64
	System    uint64 // system prompt
	Tools     uint64 // names of the tools offered, in the order sent
	Params    uint64 // tuple of all parameters that shape an answer; not stream, not seed
	ParamHas  ParamSet
	MaxTokens uint32
	Turns     uint16 // messages in the conversation, the system prompt not counted
	Words     uint32 // of the last user message
	Chars     uint32 // of the last user message, in bytes
	Digests   uint16 // parts that were not text

	// The text, as fingerprints.
	Prompt   uint64    // last user message, normalised (case and white space folded)
	SimHash  uint64    // of the last user message; near-identical texts differ in 3 bits or fewer (Charikar 2002)
	MinHash  [64]uint8 // one-permutation MinHash of its shingles (Li, Owen, Zhang 2012), 8 bits a bin, densified
	Shingles []uint64  // winnowed 5-word shingles of the last user message, its first and last words among them
	Terms    []uint16  // hashed words and word pairs, each once, for the topic vector
	Chain    []uint64  // hash of the conversation up to and including each assistant turn, oldest first
	Quotes   []uint64  // content-sampled long shingles of all that was sent: matched against answers given before
	Answer   uint64    // whole answer, when it has 40 words or more
	Answers  []uint64  // content-sampled long shingles of the answer that do not stand in the request

	// What the request asks for beyond an answer.
	Cues        CueSet   // extraction cues of the rule file: a prior, never proof
	TopLogprobs uint8    // top_logprobs as sent, 255 at most
	Biased      []uint32 // token ids in logit_bias, the first 512

	Outcome Outcome
	Usage   Usage
}

// CueSet is a set of cue classes.
type CueSet uint16

// The cue classes of the rule file.
const (
	CueReasoning  CueSet = 1 << iota // asks for the chain of thought itself
	CueBackfill                      // gives an answer and asks for the reasoning behind it
	CueGrading                       // rubric grading, reward-model use
	CueSynthesis                     // asks for training data: instructions, question and answer pairs
	CuePersona                       // expert persona with demand for complete, transparent working
	CueRewrite                       // policy-safe rewriting of sensitive questions
	CueClassifier                    // text addressed to whoever watches the traffic
	CueFormat                        // demands a machine-readable frame around the answer
	CueProbe                         // logit_bias or logprobs used together, or one token asked with biases
)

// Reset empties o and keeps its slices' memory.
func (o *Observation) Reset() {
	s, t, c := o.Shingles[:0], o.Terms[:0], o.Chain[:0]
	q, a, b := o.Quotes[:0], o.Answers[:0], o.Biased[:0]
	*o = Observation{Shingles: s, Terms: t, Chain: c, Quotes: q, Answers: a, Biased: b}
}
