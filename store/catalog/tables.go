package catalog

import (
	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/store/catalog/record"
)

// bindable is a noun that names its columns.
type bindable[T any] interface {
	*T
	Bind(c record.Columns)
}

func table[T any, P bindable[T]](name string) store.Table[T] {
	return store.Table[T]{Name: name, Bind: func(c *store.Columns, v *T) { P(v).Bind(c) }}
}

func accountTable() store.Table[Account]   { return table[Account]("accounts") }
func allows() store.Table[Allow]           { return table[Allow]("allows") }
func appeals() store.Table[Appeal]         { return table[Appeal]("appeals") }
func approvals() store.Table[Approval]     { return table[Approval]("approvals") }
func artifacts() store.Table[Artifact]     { return table[Artifact]("artifacts") }
func campaigns() store.Table[Campaign]     { return table[Campaign]("campaigns") }
func cases() store.Table[Case]             { return table[Case]("cases") }
func credentials() store.Table[Credential] { return table[Credential]("credentials") }
func decisions() store.Table[Decision]     { return table[Decision]("decisions") }
func deliveries() store.Table[Delivery]    { return table[Delivery]("deliveries") }
func eventTable() store.Table[Event]       { return table[Event]("events") }
func labels() store.Table[Label]           { return table[Label]("labels") }
func notes() store.Table[Note]             { return table[Note]("notes") }
func notices() store.Table[Notice]         { return table[Notice]("notices") }
func policies() store.Table[Policy]        { return table[Policy]("policies") }
func requests() store.Table[Request]       { return table[Request]("requests") }
func sessions() store.Table[Session]       { return table[Session]("sessions") }
func tickets() store.Table[Ticket]         { return table[Ticket]("tickets") }
func tokens() store.Table[Token]           { return table[Token]("tokens") }
func users() store.Table[User]             { return table[User]("users") }
func verdictTable() store.Table[Verdict]   { return table[Verdict]("verdicts") }

func members() store.Table[Membership] {
	return store.Table[Membership]{Name: "members", Bind: func(c *store.Columns, v *Membership) {
		v.Bind(c)
		c.Derived("hash", func() any { return memberHash(v) })
	}}
}

// Tables of what lists hold.

func briefArtifacts() store.Table[Artifact] {
	return store.Table[Artifact]{Name: "artifacts", Bind: func(c *store.Columns, v *Artifact) { v.Brief(c) }}
}

func briefPolicies() store.Table[Policy] {
	return store.Table[Policy]{Name: "policies", Bind: func(c *store.Columns, v *Policy) { v.Brief(c) }}
}
