// Package batch is the encoding in which observations, descriptions of accounts and names of models travel between
// processes and lie in the stream. A message is two bytes, format and compression, and then a Batch in the wire format of
// Protocol Buffers: fields carry their number and kind, so that a reader skips what it does not know and takes what is
// missing for zero. docs/stream.md gives it byte for byte.
package batch

import (
	"errors"

	"github.com/palladium-guard/palladium"
)

// Format is the first byte of a message. It changes only when older readers could not make sense of the rest; new fields
// do not change it.
const Format = 1

// notFormat is from where on the first byte is none that a later version will write, but text, or damage.
const notFormat = 32

// The compressions, second byte of a message.
const (
	Plain = 0
	S2    = 1 // one block of S2, github.com/klauspost/compress/s2
)

// The limits, in bytes. A message is at most MaxMessage long, also once it is decompressed.
const (
	MaxRecord  = 256 << 10 // one observation, description or name
	MaxMessage = 4 << 20
)

// Why a message is not read.
var (
	ErrFormat = errors.New("batch is of a format that this build does not read: run the newer palladium on this side too")
	ErrBatch  = errors.New("batch is damaged")
)

// Head says where a batch comes from.
type Head struct {
	Source   string // who published it, such as gateway or tap.kafka
	Instance uint64 // drawn by the publisher at its start; never zero
	Number   uint64 // of the batch within the instance, from 1 on without gaps
}

// Sink takes in what a batch holds, in the order in which it was written. What it is given by pointer is reused when the
// call returns; strings may be kept.
type Sink interface {
	Describe(*palladium.Account)
	NameModel(hash uint64, name string)
	Observe(*palladium.Observation)
}

// The wire types of Protocol Buffers that are used. Groups, 3 and 4, are not.
const (
	varint = 0
	eight  = 1 // 8 bytes, little endian
	span   = 2 // a length as varint, and as many bytes
	four   = 5 // 4 bytes, little endian
)

// Field numbers of a Batch.
const (
	batchSource       = 1
	batchInstance     = 2
	batchNumber       = 3
	batchString       = 4 // adds one string to the dictionary: the first is 1, and 0 is the empty string
	batchAccount      = 5
	batchName         = 6
	batchObservation  = 7
	batchObservations = 8 // their number, so that a reader of the head alone can count
)

// Field numbers of an Account.
const (
	accountID = iota + 1
	accountCreated
	accountNanos
	accountOrganization
	accountPlan
	accountDomain
	accountShape
	accountPayment
	accountBIN
	accountPhone
	accountDevice
	accountIP
	accountVerified
	accountRelation
)

// Field numbers of a Name.
const (
	nameHash = 1
	nameText = 2
)

// Field numbers of an Observation. Those below 16 take one byte.
const (
	obsAccount = iota + 1 // place in the dictionary
	obsTime
	obsID
	obsCredential
	obsIP
	obsNet
	obsPrompt
	obsSimHash
	obsMinHash
	obsShingles
	obsTerms
	obsChain
	obsInput
	obsOutput
	obsModel
	obsClient
	obsTLS
	obsHeaders
	obsUserAgent
	obsDevice
	obsASN
	obsAPI
	obsSystem
	obsTools
	obsParams
	obsParamHas
	obsMaxTokens
	obsTurns
	obsWords
	obsChars
	obsDigests
	obsQuotes
	obsAnswer
	obsAnswers
	obsCues
	obsTopLogprobs
	obsBiased
	obsStatus
	obsFinish // place in the dictionary
	obsMS
	obsTTFT
	obsReasoning
	obsCached
)
