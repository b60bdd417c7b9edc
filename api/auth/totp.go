package auth

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

// period is the length of a time step of RFC 6238, in seconds.
const period = 30

func (a *Auth) sealer() (cipher.AEAD, error) { return chacha20poly1305.NewX(a.o.Key[:]) }

// seal encrypts a secret for one user: under another's name it does not open.
func (a *Auth) seal(user, text string) ([]byte, error) {
	box, err := a.sealer()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, box.NonceSize(), box.NonceSize()+len(text)+box.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return box.Seal(nonce, nonce, []byte(text), []byte("totp|"+user)), nil
}

func (a *Auth) open(user string, sealed []byte) (string, error) {
	box, err := a.sealer()
	if err != nil {
		return "", err
	}
	if len(sealed) < box.NonceSize() {
		return "", errors.New("sealed secret of one-time codes is too short: invite the user anew")
	}
	text, err := box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], []byte("totp|"+user))
	if err != nil {
		return "", errors.New("secret of one-time codes was sealed with another key: restore the key, or invite the user anew")
	}
	return string(text), nil
}

// checkCode checks a one-time code, one step early or late, and returns its step. A step that was used is not taken again.
func (a *Auth) checkCode(u *catalog.User, sealed []byte, code string, now time.Time) (int64, error) {
	key, err := a.open(u.ID, sealed)
	if err != nil {
		return 0, err
	}
	for step := now.Unix()/period - 1; step <= now.Unix()/period+1; step++ {
		want, err := totp.GenerateCode(key, time.Unix(step*period, 0))
		if err != nil {
			return 0, err
		}
		if step > u.TOTPStep && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return step, nil
		}
	}
	return 0, failed()
}

func (a *Auth) beginTOTP(q *api.Request) (*api.Answer, error) {
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	if len(u.TOTP) > 0 {
		return nil, api.Conflict("one-time codes are in use already: remove them first")
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Palladium", AccountName: u.Name, Period: period, SecretSize: 20})
	if err != nil {
		return nil, err
	}
	sealed, err := a.seal(u.ID, key.Secret())
	if err != nil {
		return nil, err
	}
	data, err := quote(sealed)
	if err != nil {
		return nil, err
	}
	err = a.o.Catalog.PutTicket(q.Context(), catalog.Ticket{ID: digest(ticketTOTP + u.ID), Kind: ticketTOTP, User: u.ID, Data: data, Expires: q.Now.Add(10 * time.Minute)})
	if err != nil {
		return nil, err
	}
	return api.OK(map[string]string{"secret": key.Secret(), "uri": key.URL()})
}

func (a *Auth) confirmTOTP(q *api.Request) (*api.Answer, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	u, err := a.o.Catalog.GetUser(q.Context(), q.By.ID)
	if err != nil {
		return nil, err
	}
	succeeded, err := a.attempt(q, u.Name)
	if err != nil {
		return nil, err
	}
	ticket, err := a.o.Catalog.PeekTicket(q.Context(), ticketTOTP, digest(ticketTOTP+u.ID), q.Now)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, api.Conflict("begin anew: the secret is older than 10 minutes")
	}
	if err != nil {
		return nil, err
	}
	sealed, err := unquote(ticket.Data)
	if err != nil {
		return nil, err
	}
	step, err := a.checkCode(&u, sealed, in.Code, q.Now)
	if err != nil {
		return nil, &api.Problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: "the code is wrong: is the clock of the device right?"}
	}
	succeeded()
	u.TOTP, u.TOTPStep = sealed, step
	if err := a.o.Catalog.DropTickets(q.Context(), ticketTOTP, u.ID); err != nil {
		return nil, err
	}
	return a.change(q, u, "user.totp_added")
}

func (a *Auth) removeTOTP(q *api.Request) (*api.Answer, error) {
	var in struct {
		Password string `json:"password"`
	}
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	u, err := a.confirmed(q, in.Password)
	if err != nil {
		return nil, err
	}
	u.TOTP = nil
	return a.change(q, u, "user.totp_removed")
}

// forget takes away every way in that u has by itself: for invitations anew.
func forget(ctx context.Context, tx *catalog.Store, u *catalog.User) error {
	u.PasswordHash, u.TOTP, u.TOTPStep, u.Passkeys = "", nil, 0, nil
	_, err := tx.EndSessions(ctx, u.ID, "")
	return err
}
