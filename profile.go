package palladium

// Sizes of a Profile's fixed parts.
const (
	TopicDims  = 256 // signed-hash dimensions of the topic vector
	PromptKeep = 24  // smallest prompt hashes kept
	SlotCount  = 32  // load slots kept
	SlotMillis = 6 * 3600 * 1000
	EdgeCount  = 42
	NoToken    = ^uint32(0) // an empty edge
)

// Kind is what a token stands for.
type Kind uint8

// The kinds of token, in the order of their slots in Profile.Edges.
const (
	KindPayment Kind = iota
	KindBIN
	KindPhone
	KindEmail
	KindDevice
	KindSignupIP
	KindSignupNet
	KindCredential
	KindOrganization // declared by the account: never evidence, but counter-evidence when shared
	KindIP
	KindNet
	KindClientDevice
	KindClient
	KindSystem
	KindTools
	KindParams
	KindShingle
	KindChain
	KindEcho
	KindCell
	kindCount
)

// KindCount is the number of kinds.
const KindCount = int(kindCount)

// Family returns the evidence family of tokens of kind k; "" for those that are never evidence.
func (k Kind) Family() Family {
	switch k {
	case KindOrganization:
		return ""
	case KindIP, KindNet, KindClientDevice, KindClient:
		return Network
	case KindSystem, KindTools, KindShingle:
		return Template
	case KindChain, KindEcho:
		return Continuity
	case KindCell:
		return Twins
	case KindParams:
		return Parameters
	}
	return Identity
}

// Software reports whether tokens of kind k follow from the program that an account runs. Strangers who use one
// program agree in all of them, so they count as a single circumstance, however many agree.
func (k Kind) Software() bool {
	switch k {
	case KindClient, KindSystem, KindTools, KindParams:
		return true
	}
	return false
}

// Slots returns the range [lo, hi) of Profile.Edges that holds tokens of kind k.
func (k Kind) Slots() (lo, hi int) {
	if k < KindIP {
		return int(k), int(k) + 1
	}
	switch k {
	case KindIP:
		return 9, 13
	case KindNet:
		return 13, 16
	case KindClientDevice:
		return 16, 17
	case KindClient:
		return 17, 19
	case KindSystem:
		return 19, 21
	case KindTools:
		return 21, 22
	case KindParams:
		return 22, 24
	case KindShingle:
		return 24, 36
	case KindChain:
		return 36, 39
	case KindEcho:
		return 39, 41
	}
	return 41, EdgeCount
}

// Edge joins an account to a token. Prev and Next chain the holders of one token: each is account*EdgeCount+slot,
// or NoToken at an end. They belong to the index that owns the Profile.
type Edge struct {
	Token, Prev, Next uint32
	Hits              uint16 // exchanges that carried it; saturates, and decays when the slots are contended
	Tag               uint16 // low bits of the token's hash
}

// Profile is all that is kept of one account: counts and sketches of fixed size. It holds no pointer, so that a
// million of them cost the garbage collector nothing and can be written to disk as they are.
type Profile struct {
	Created, First, Last int64 // Unix ms; Created 0 when unknown
	Output, Input        uint64
	Reasoning            uint64
	Words, MaxTokens     uint64 // sums over exchanges
	Plan                 uint64 // hash
	Exchanges            uint32
	Single               uint32 // exchanges of one turn
	Limited              uint32 // answered 429
	Repeats              uint32 // prompts that another account had sent before
	WithSystem           uint32
	WithTools            uint32
	WithOutput           uint32 // exchanges with known output tokens
	Templated            uint32 // exchanges that carried a shingle seen from several accounts
	Probes               uint32
	Slot                 uint32             // number of the newest load slot: Unix ms / SlotMillis
	Loads                [SlotCount]uint16  // exchanges per slot; slot s stands at s mod SlotCount
	Drawn                [SlotCount]uint32  // output tokens per slot, in the same places; saturates
	Hours                [24]uint16         // exchanges per hour of the day, UTC
	Gaps                 [16]uint16         // gaps between exchanges, bins of factor 4 from 1 s/4
	Cues                 [9]uint16          // exchanges with each cue class
	Lengths              [12]uint16         // prompt lengths in words, bins of factor 2
	Topic                [TopicDims]int16   // sum of the unit topic vectors of its prompts, times TopicScale
	TopicN               uint16             // prompts in Topic, after halvings
	Relation             uint8              // 0 unknown, else 1 + index in the order of the Relation constants
	Verified             uint8              // how many things were verified
	Models               [4]uint32          // model hashes, most used first after a while
	ModelHits            [4]uint16          // their counts
	Prompts              [PromptKeep]uint32 // smallest hashes of its prompts, ascending; unused ones are MaxUint32
	Distinct             [64]uint8          // HyperLogLog of its prompts
	Biased               [64]uint8          // HyperLogLog of token ids in logit_bias
	Edges                [EdgeCount]Edge
}

// TopicScale is the length that one prompt's vector has in Profile.Topic.
const TopicScale = 96

// Token is a piece of evidence that accounts can share.
type Token struct {
	Hash    uint64
	Head    uint32 // first holder's edge
	Holders uint32 // accounts that hold it now
	Seen    uint32 // Holders when it was last examined
	Kind    Kind
}
