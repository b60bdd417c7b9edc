package archtest

import (
	"slices"
	"strings"
)

// Floor is a storey of the house. A package imports packages of lower floors, or its own parent.
type Floor int

// The floors, lowest first.
const (
	Root     Floor = iota // the nouns
	Internal              // tools that know nothing of the product, and embedded rule tables
	Files                 // tools that read files or listen, and know nothing of the product either: for stores and all above, not for engines
	Shelf                 // parts of stores, which import their parent alone
	Engine                // values and a time in, values out; and the stores
	Store
	Door   // where traffic, people and peers come in
	Config // one strict file
	App    // the only place where parts meet
	System // what app has joined, run as one: the gateway and the detector know nothing of each other below it
	Cmd
	Outside // tests of the house itself: imports nothing of it
)

// Room places a package, and everything below its folder, on a floor.
type Room struct {
	Path  string // folder relative to the module, "" for the root package alone
	Floor Floor
}

// Rooms is the plan of the house. The longest matching path decides; a package without a room is an error, so that
// every new folder is placed on purpose. Rooms that are not built yet are listed where they will stand.
func Rooms() []Room {
	rooms := []Room{
		{"", Root},
		{"internal", Internal}, {"rules", Internal}, {"internal/tlsfile", Files}, {"internal/filestamp", Files}, {"internal/listen", Files},
		{"weights/manifest", Internal},                                                                                                                                                         // digests of files: signing, lineage and custody all speak of them
		{"store/stream/batch", Internal},                                                                                                                                                       // the encoding alone: pure, so that tools read it too
		{"store/catalog/record", Internal},                                                                                                                                                     // the catalog's nouns, without its database: engines speak of them too
		{"proof/ledger/tlog", Store},                                                                                                                                                           // puts on disk what its parent only reads: they share the form of the log
		{"store", Store}, {"store/texts", Shelf}, {"store/links", Shelf}, {"store/figures", Shelf}, {"store/retention", Shelf}, {"store/stream/fetch", Shelf}, {"traffic/gateway/pool", Store}, // as a store is: I/O for one noun, below the door that uses it
		{"traffic/gateway/header", Store}, // beside it: net/http's own type
		{"config", Config}, {"app", App}, {"app/serve", System}, {"cmd", Cmd}, {"archtest", Outside},
	}
	for floor, paths := range map[Floor][]string{
		Engine: {
			"report",
			"traffic/dialect", "traffic/measure", "traffic/linkage", "traffic/campaign", "traffic/judge", "traffic/verdict",
			"traffic/extraction", "traffic/sanction", "traffic/restrict", "traffic/budget", "traffic/relay",
			"weights/signing", "weights/inspect", "weights/lineage", "weights/compare", "weights/custody", "weights/seal",
			"proof/dossier", "proof/ledger", "proof/watermark", "proof/attribution", "proof/stix", "proof/match", "proof/assurance",
		},
		Door: {
			"traffic/tap", "traffic/gateway", "traffic/check", "weights/attest", "weights/guard", "weights/mount", "weights/egress", "proof/taxii",
			"api", "console", "notify", "world",
		},
	} {
		for _, p := range paths {
			rooms = append(rooms, Room{p, floor})
		}
	}
	return rooms
}

// FloorOf returns the floor of the package in folder dir, relative to the module; ok is false when it has no room.
func FloorOf(dir string) (floor Floor, ok bool) {
	best := -1
	for _, r := range Rooms() {
		within := dir == r.Path || r.Path != "" && strings.HasPrefix(dir, r.Path+"/")
		if within && len(r.Path) > best {
			best, floor, ok = len(r.Path), r.Floor, true
		}
	}
	return floor, ok
}

// pure reports whether a package of the floor is replayed from a recording: no I/O, no clock, no chance of its own.
func (f Floor) pure() bool { return f == Root || f == Internal || f == Engine }

// deniedImports lists what a pure package may not import. A path ending in /... covers all below it.
func deniedImports() []string {
	return []string{
		"net", "net/http/...", "net/rpc/...", "net/smtp", "os/...", "io/ioutil", "database/sql/...", "log/...", "syscall",
		"math/rand", "crypto/rand",
	}
}

// deniedNames lists functions that a pure package may not call, by import path.
func deniedNames() map[string][]string {
	return map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
		"math/rand/v2": {
			"ExpFloat64", "Float32", "Float64", "Int", "Int32", "Int32N", "Int64", "Int64N", "IntN", "N", "NormFloat64",
			"Perm", "Shuffle", "Uint", "Uint32", "Uint32N", "Uint64", "Uint64N", "UintN",
		},
	}
}

// exits lists functions that end the process: only package main may name them.
func exits() map[string][]string {
	return map[string][]string{
		"os":  {"Exit"},
		"log": {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
	}
}

// bannedNames lists package names that say nothing of what is inside.
func bannedNames() []string {
	return []string{
		"util", "utils", "common", "manager", "handler", "handlers", "helper", "helpers", "service", "services",
		"type", "types", "misc", "base", "shared", "lib",
	}
}

// The limits, in lines.
const (
	maxPackage = 2_499 // all files of a package but its tests
	maxFile    = 699
	// Subcommands do not lean on each other, so what holds them is not limited as a whole; each of its files is, to be short.
	maxCommand  = 349
	maxTestFile = 1_499
	maxFunction = 99
)

func denied(path string, list []string) bool {
	return slices.ContainsFunc(list, func(d string) bool {
		prefix, all := strings.CutSuffix(d, "/...")
		return path == prefix || all && strings.HasPrefix(path, prefix+"/")
	})
}
