package live

import "github.com/palladium-guard/palladium"

type Position uint64
type Readings map[string]uint64
type Reader interface {
	Describe(a *palladium.Account) error
	NameModel(hash uint64, name string) error
	Observe(o *palladium.Observation) error
	Position(p Position) error
}
