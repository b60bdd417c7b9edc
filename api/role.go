package api

import (
	"slices"
	"strings"
)

// Role is what a user is on this site.
type Role string

// The roles. No role holds another: an administrator neither sees accounts nor decides about them, and an auditor sees
// everything and changes nothing.
const (
	Viewer   Role = "viewer"   // campaigns without their accounts, policies, artifacts, health
	Analyst  Role = "analyst"  // investigates, previews, decides, opens cases
	Approver Role = "approver" // is the second person; decides appeals, undoes what others decided
	Admin    Role = "admin"    // users, keys of callers, policies
	Auditor  Role = "auditor"  // reads all, the ledger's statements among it
)

// Roles returns all roles, in the order in which they are shown.
func Roles() []Role { return []Role{Viewer, Analyst, Approver, Admin, Auditor} }

// Known reports whether r is a role.
func (r Role) Known() bool { return slices.Contains(Roles(), r) }

// Scope is what an API token may be used for, within what its user may do.
type Scope string

// The scopes. An operation of ScopeSession is for people at a screen: no token reaches it.
const (
	ScopePublic      Scope = ""
	ScopeSession     Scope = "session"
	ScopeRead        Scope = "read"        // what shows no account
	ScopeInvestigate Scope = "investigate" // what shows accounts
	ScopeDecide      Scope = "decide"      // preview, decide, undo
	ScopeApprove     Scope = "approve"     // approvals, appeals
	ScopeProcess     Scope = "process"     // state of campaigns, cases, allow-list
	ScopePolicy      Scope = "policy"
	ScopeCredentials Scope = "credentials"
	ScopeAdmin       Scope = "admin"
)

// Scopes returns the scopes that a token can have.
func Scopes() []Scope {
	return []Scope{ScopeRead, ScopeInvestigate, ScopeDecide, ScopeApprove, ScopeProcess, ScopePolicy, ScopeCredentials, ScopeAdmin}
}

// Operation says who may do one thing, by the operationId of the OpenAPI document.
type Operation struct {
	ID       string
	Roles    []Role // nobody's session is needed when empty
	Scope    Scope
	Personal bool // shows accounts: its reading is written to the ledger
	Secret   bool // request or answer carries a secret: neither is digested or stored
	Large    bool // takes lists of accounts: the larger body limit
	Text     bool // takes free text about people: the ledger keeps a digest of it
	Dry      bool // changes nothing, though it is a POST
}

// Public reports whether the operation needs no sign-in.
func (o *Operation) Public() bool { return len(o.Roles) == 0 }

// Allows reports whether the role may call the operation.
func (o *Operation) Allows(r Role) bool { return o.Public() || slices.Contains(o.Roles, r) }

// Operations is the one table of who may do what.
func Operations() []Operation {
	const (
		public = ""
		all    = "viewer analyst approver admin auditor"
		inside = "analyst approver auditor" // those who see accounts
		act    = "analyst approver"
		second = "approver"
	)
	personal := func(o Operation) Operation { o.Personal = true; return o }
	secret := func(o Operation) Operation { o.Secret = true; return o }
	large := func(o Operation) Operation { o.Large = true; return o }
	text := func(o Operation) Operation { o.Text = true; return o }
	dry := func(o Operation) Operation { o.Dry = true; return o }
	op := func(id, roles string, s Scope) Operation {
		o := Operation{ID: id, Scope: s}
		for _, r := range strings.Fields(roles) {
			o.Roles = append(o.Roles, Role(r))
		}
		return o
	}
	return []Operation{
		op("getSession", public, ScopePublic), secret(op("signIn", public, ScopePublic)), op("signOut", public, ScopePublic),
		secret(op("setUp", public, ScopePublic)), op("startOIDC", public, ScopePublic), secret(op("finishOIDC", public, ScopePublic)),
		secret(op("beginPasskey", public, ScopePublic)), secret(op("finishPasskey", public, ScopePublic)),
		op("getOpenAPI", public, ScopePublic),

		op("getMe", all, ScopeRead), op("listPeople", all, ScopeRead),
		secret(op("changePassword", all, ScopeSession)), secret(op("beginTOTP", all, ScopeSession)),
		secret(op("removeTOTP", all, ScopeSession)), secret(op("confirmTOTP", all, ScopeSession)),
		op("listPasskeys", all, ScopeSession), secret(op("beginPasskeyRegistration", all, ScopeSession)),
		secret(op("finishPasskeyRegistration", all, ScopeSession)), op("removePasskey", all, ScopeSession),
		op("listTokens", all, ScopeSession), secret(op("createToken", all, ScopeSession)), op("revokeToken", all, ScopeSession),

		op("listCampaigns", all, ScopeRead), op("getCampaign", all, ScopeRead), op("getCampaignTimeline", all, ScopeRead),
		op("listLinked", all, ScopeRead), op("getLinked", all, ScopeRead),
		op("changeCampaign", act, ScopeProcess),
		personal(op("listCampaignAccounts", inside, ScopeInvestigate)), personal(op("getCampaignGraph", inside, ScopeInvestigate)),
		personal(op("getCampaignEvidence", inside, ScopeInvestigate)), personal(op("listCampaignEvents", inside, ScopeInvestigate)),
		personal(op("listCampaignVerdicts", inside, ScopeInvestigate)), personal(op("exportCampaign", inside, ScopeInvestigate)),
		personal(op("listAccounts", inside, ScopeInvestigate)), personal(op("getAccount", inside, ScopeInvestigate)),
		personal(op("getAccountEvidence", inside, ScopeInvestigate)), personal(op("hunt", inside, ScopeInvestigate)),

		dry(large(op("previewDecision", act, ScopeDecide))), large(op("decide", act, ScopeDecide)), op("undoDecision", act, ScopeDecide),
		op("listDecisions", all, ScopeRead), op("getDecision", all, ScopeRead),
		personal(op("listVerdicts", inside, ScopeInvestigate)),
		op("listApprovals", all, ScopeRead), op("getApproval", all, ScopeRead),
		op("approve", second, ScopeApprove), op("refuse", second, ScopeApprove),

		personal(op("listCases", inside, ScopeProcess)), text(op("openCase", act, ScopeProcess)),
		personal(op("getCase", inside, ScopeProcess)), op("changeCase", act, ScopeProcess), text(op("addNote", act, ScopeProcess)),
		personal(op("listNotices", inside, ScopeProcess)), personal(op("listAppeals", inside, ScopeProcess)),
		personal(op("getAppeal", inside, ScopeProcess)), op("reviewAppeal", act, ScopeProcess), text(op("decideAppeal", second, ScopeApprove)),
		personal(op("listAllow", inside, ScopeProcess)), op("addAllow", second, ScopeProcess), op("revokeAllow", second, ScopeProcess),

		op("listPolicies", all, ScopeRead), op("getPolicy", all, ScopeRead), op("addPolicy", "approver admin", ScopePolicy),
		op("activatePolicy", "approver admin", ScopePolicy), dry(op("checkPolicy", "analyst approver admin auditor", ScopeRead)),

		personal(op("listCredentials", "analyst approver admin auditor", ScopeCredentials)),
		secret(op("createCredential", "admin", ScopeCredentials)), op("revokeCredential", "approver admin", ScopeCredentials),
		secret(op("rotateCredential", "admin", ScopeCredentials)),

		op("listArtifacts", all, ScopeRead), op("getArtifact", all, ScopeRead), op("getArtifactLineage", all, ScopeRead),

		op("listLedgerEntries", all, ScopeRead), personal(op("getLedgerEntry", inside, ScopeInvestigate)),
		op("getLedgerProof", all, ScopeRead), op("getLedgerCheckpoint", all, ScopeRead), op("getLedgerKey", all, ScopeRead),
		op("getLedgerTile", all, ScopeRead),

		op("listUsers", "admin auditor", ScopeAdmin), secret(op("createUser", "admin", ScopeAdmin)),
		op("changeUser", "admin", ScopeAdmin), secret(op("inviteUser", "admin", ScopeAdmin)),
		op("streamEvents", all, ScopeRead), op("getHealth", all, ScopeRead), op("getSystem", all, ScopeRead),
	}
}
