package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// ceremony is how long the browser has to answer.
const ceremony = 5 * time.Minute

// passkey is a stored passkey. The catalog keeps the list as it is here.
type passkey struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Created    time.Time           `json:"created"`
	LastUsed   *time.Time          `json:"last_used"`
	Credential webauthn.Credential `json:"credential"`
}

// holder is a user as package webauthn wants to see one.
type holder struct {
	u    *catalog.User
	keys []passkey
}

func (h *holder) WebAuthnID() []byte          { return h.u.Handle }
func (h *holder) WebAuthnName() string        { return h.u.Name }
func (h *holder) WebAuthnDisplayName() string { return h.u.Name }
func (h *holder) WebAuthnCredentials() (out []webauthn.Credential) {
	for i := range h.keys {
		out = append(out, h.keys[i].Credential)
	}
	return out
}

// handle makes a WebAuthn user handle: it says nothing of the user.
func handle() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}

func passkeysOf(u *catalog.User) (keys []passkey) {
	if len(u.Passkeys) == 0 || json.Unmarshal(u.Passkeys, &keys) != nil {
		return nil
	}
	return keys
}

func quote(b []byte) (json.RawMessage, error)         { return json.Marshal(b) }
func unquote(m json.RawMessage) (b []byte, err error) { return b, json.Unmarshal(m, &b) }

// named refuses passkeys where the site is reached by an address.
func (a *Auth) named() error {
	if a.passkeys == nil {
		return api.Conflict("passkeys belong to a name, and this site is reached by an address: give it a name")
	}
	return nil
}

// ask keeps what the browser's answer will be checked against, and returns the ceremony.
func (a *Auth) ask(q *api.Request, kind, user string, data *webauthn.SessionData, options any) (*api.Answer, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	id := secret("")
	err = a.o.Catalog.PutTicket(q.Context(), catalog.Ticket{ID: digest(id), Kind: kind, User: user, Data: text, Expires: q.Now.Add(ceremony)})
	if err != nil {
		return nil, err
	}
	shown, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	return api.OK(map[string]any{"ceremony": id, "options": json.RawMessage(shown)})
}

// reply is the browser's answer.
type reply struct {
	Ceremony   string          `json:"ceremony"`
	Name       string          `json:"name"`
	Credential json.RawMessage `json:"credential"`
}

// answered takes the ceremony that a reply belongs to.
func (a *Auth) answered(q *api.Request, kind string) (r reply, data webauthn.SessionData, user string, err error) {
	if err = q.Decode(&r); err != nil {
		return r, data, "", err
	}
	ticket, err := a.o.Catalog.TakeTicket(q.Context(), kind, digest(r.Ceremony), q.Now)
	if errors.Is(err, catalog.ErrNotFound) {
		return r, data, "", api.BadRequest("this ceremony is over: begin anew")
	}
	if err != nil {
		return r, data, "", err
	}
	return r, data, ticket.User, json.Unmarshal(ticket.Data, &data)
}

func (a *Auth) beginPasskey(q *api.Request) (*api.Answer, error) {
	if err := a.named(); err != nil {
		return nil, err
	}
	if _, err := a.attempt(q, ""); err != nil { // what is begun is stored
		return nil, err
	}
	options, data, err := a.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, err
	}
	return a.ask(q, ticketPasskey, "", data, options)
}

func (a *Auth) finishPasskey(q *api.Request) (*api.Answer, error) {
	succeeded, err := a.attempt(q, "")
	if err != nil {
		return nil, err
	}
	r, data, _, err := a.answered(q, ticketPasskey)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(r.Credential)
	if err != nil {
		return nil, failed()
	}
	var found catalog.User
	used, err := a.passkeys.ValidateDiscoverableLogin(func(_, userHandle []byte) (webauthn.User, error) {
		var err error
		if found, err = a.o.Catalog.GetUserByHandle(q.Context(), userHandle); err != nil {
			return nil, err
		}
		return &holder{&found, passkeysOf(&found)}, nil
	}, data, parsed)
	if err != nil || found.Disabled || used.Authenticator.CloneWarning {
		a.o.Log.Warn("sign-in by passkey failed", "request", q.ID)
		return nil, failed()
	}
	succeeded()
	keys, now := passkeysOf(&found), q.Now
	for i := range keys {
		if string(keys[i].Credential.ID) == string(used.ID) {
			keys[i].Credential, keys[i].LastUsed = *used, &now
		}
	}
	if found.Passkeys, err = json.Marshal(keys); err != nil {
		return nil, err
	}
	return a.welcome(q, found, "passkey")
}

func (a *Auth) beginRegistration(q *api.Request) (*api.Answer, error) {
	if err := a.named(); err != nil {
		return nil, err
	}
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	h := &holder{&u, passkeysOf(&u)}
	options, data, err := a.passkeys.BeginRegistration(h, webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired}),
		webauthn.WithExclusions(webauthn.Credentials(h.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	return a.ask(q, ticketRegister, u.ID, data, options)
}

func (a *Auth) finishRegistration(q *api.Request) (*api.Answer, error) {
	r, data, user, err := a.answered(q, ticketRegister)
	if err != nil {
		return nil, err
	}
	if user != q.By.ID {
		return nil, api.Forbidden("this ceremony was begun by somebody else")
	}
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(r.Credential)
	if err != nil {
		return nil, api.BadRequest("credential is not one that a browser makes")
	}
	keys := passkeysOf(&u)
	made, err := a.passkeys.CreateCredential(&holder{&u, keys}, data, parsed)
	if err != nil {
		return nil, api.BadRequest("the passkey was not accepted: begin anew")
	}
	if r.Name == "" {
		r.Name = "passkey"
	}
	key := passkey{ID: base64.RawURLEncoding.EncodeToString(made.ID), Name: r.Name, Created: q.Now, Credential: *made}
	if u.Passkeys, err = json.Marshal(append(keys, key)); err != nil {
		return nil, err
	}
	if _, err := a.change(q, u, "user.passkey_added"); err != nil {
		return nil, err
	}
	return api.Created("/me/passkeys/"+key.ID, key.view())
}

func (p *passkey) view() map[string]any {
	return map[string]any{"id": p.ID, "name": p.Name, "created": p.Created, "last_used": p.LastUsed}
}

func (a *Auth) listPasskeys(q *api.Request) (*api.Answer, error) {
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	items := []map[string]any{}
	for _, k := range passkeysOf(&u) {
		items = append(items, k.view())
	}
	return api.OK(map[string]any{"items": items})
}

func (a *Auth) removePasskey(q *api.Request) (*api.Answer, error) {
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	keys := passkeysOf(&u)
	left := slices.DeleteFunc(slices.Clone(keys), func(k passkey) bool { return k.ID == q.Param("id") })
	switch {
	case len(left) == len(keys):
		return nil, api.NotFound("passkey")
	case len(left) == 0 && u.PasswordHash == "" && u.Subject == "":
		return nil, api.Conflict("this is the only way in that is left: add another passkey first")
	}
	if u.Passkeys, err = json.Marshal(left); err != nil {
		return nil, err
	}
	err = q.Update(func(ctx context.Context, tx *catalog.Store) (*catalog.Event, error) {
		_, err := tx.PutUser(ctx, u)
		return q.Event("user.passkey_removed", "user:"+u.ID, nil), err
	})
	if err != nil {
		return nil, err
	}
	return api.Done()
}
