// Package palladium holds the nouns that every part of the product speaks: accounts and their exchanges with a
// model, what one exchange shows, what accounts share, the campaigns found among them and the verdicts on them.
//
// It does no I/O, knows no engine and imports nothing of this module.
package palladium
