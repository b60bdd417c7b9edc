package catalog

import "github.com/palladium-guard/palladium/store/catalog/record"

// The nouns: see package record.
type (
	Campaign       = record.Campaign
	Membership     = record.Membership
	Holding        = record.Holding
	Label          = record.Label
	ReportChanges  = record.ReportChanges
	Staged         = record.Staged
	Account        = record.Account
	Pivot          = record.Pivot
	Verdict        = record.Verdict
	InForce        = record.InForce
	Terms          = record.Terms
	Decision       = record.Decision
	Approval       = record.Approval
	Case           = record.Case
	Note           = record.Note
	Notice         = record.Notice
	Appeal         = record.Appeal
	Allow          = record.Allow
	Policy         = record.Policy
	Figures        = record.Figures
	Outcome        = record.Outcome
	User           = record.User
	Session        = record.Session
	Token          = record.Token
	Ticket         = record.Ticket
	Request        = record.Request
	Event          = record.Event
	Delivery       = record.Delivery
	Artifact       = record.Artifact
	Load           = record.Load
	Credential     = record.Credential
	CredentialHash = record.CredentialHash
)

// Their states, kinds and roles: see package record.
const (
	WorkNew        = record.WorkNew
	WorkInProgress = record.WorkInProgress
	WorkOnHold     = record.WorkOnHold
	WorkResolved   = record.WorkResolved
	WorkClosed     = record.WorkClosed

	ResolvedTruePositive  = record.ResolvedTruePositive
	ResolvedBenign        = record.ResolvedBenign
	ResolvedFalsePositive = record.ResolvedFalsePositive
	ResolvedDuplicate     = record.ResolvedDuplicate
	ResolvedAccepted      = record.ResolvedAccepted

	StateProposed = record.StateProposed
	StatePending  = record.StatePending
	StateEnforced = record.StateEnforced
	StateShadow   = record.StateShadow
	StateRevoked  = record.StateRevoked
	StateExpired  = record.StateExpired
	StateRefused  = record.StateRefused

	ApprovalOpen     = record.ApprovalOpen
	ApprovalApproved = record.ApprovalApproved

	AppealOpen       = record.AppealOpen
	AppealInReview   = record.AppealInReview
	AppealUpheld     = record.AppealUpheld
	AppealOverturned = record.AppealOverturned
	AppealWithdrawn  = record.AppealWithdrawn

	KindAllow      = record.KindAllow
	KindResearcher = record.KindResearcher
	KindEvaluator  = record.KindEvaluator

	PolicyJudge       = record.PolicyJudge
	PolicyEnforcement = record.PolicyEnforcement

	RoleViewer   = record.RoleViewer
	RoleAnalyst  = record.RoleAnalyst
	RoleApprover = record.RoleApprover
	RoleAdmin    = record.RoleAdmin
	RoleAuditor  = record.RoleAuditor
)
