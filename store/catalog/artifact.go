package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/store"
)

// PutArtifact stores an artifact by id. Its loads are not written: see AddLoad.
func (s *Store) PutArtifact(ctx context.Context, a Artifact) error {
	a.LoadCount = 0
	return s.db.Update(ctx, func(tx *store.DB) error {
		return artifacts().Upsert(ctx, tx, "id", []Artifact{a}, "load_count")
	})
}

// AddLoad notes that an artifact was loaded; ErrNotFound when there is no such artifact.
func (s *Store) AddLoad(ctx context.Context, artifact string, l Load) error {
	return s.db.Update(ctx, func(tx *store.DB) error {
		l := loadOf{l, artifact, 0}
		if err := tx.Row(ctx, "UPDATE artifacts SET load_count = load_count + 1 WHERE id = ? RETURNING load_count", []any{artifact}, &l.number); err != nil {
			return err
		}
		return loads().Insert(ctx, tx, l)
	})
}

// GetArtifact gives one artifact.
func (s *Store) GetArtifact(ctx context.Context, id string) (Artifact, error) {
	a, err := artifacts().Get(ctx, s.db, "WHERE id = ?", id)
	if err != nil {
		return a, err
	}
	all, err := loads().All(ctx, s.db, "WHERE artifact = ? ORDER BY number DESC LIMIT 100", id)
	a.Loads = make([]Load, len(all))
	for i := range all {
		a.Loads[i] = all[i].Load
	}
	return a, err
}

// ListArtifacts gives artifacts by name; with text, those with it in the name or at the beginning of the digest.
func (s *Store) ListArtifacts(ctx context.Context, text string, p Page) ([]Artifact, string, error) {
	var w store.Where
	if text != "" {
		w.And("(lower(name) LIKE ? ESCAPE '!' OR digest >= ? AND digest < ?)", store.Like(text), text, text+"\U0010FFFF")
	}
	return briefArtifacts().Page(ctx, s.db, w, store.Order{Name: "artifacts", Key: "name", ID: "id", Kind: "ss"}, p)
}

// PutCredential stores a key: a new one when c.Revision is 0, else a change of that revision, and raises the version of
// CredentialsInForce. It gives it as it is now. ErrConflict when the Revision is not the stored one.
func (s *Store) PutCredential(ctx context.Context, c Credential) (Credential, error) {
	var out Credential
	err := s.db.Update(ctx, func(tx *store.DB) (err error) {
		if out, err = credentials().Put(ctx, tx, &c, c.ID, &c.Revision); err == nil {
			_, err = tx.Bump(ctx, "credentials", 1)
		}
		return err
	})
	return out, err
}

// GetCredential gives one key.
func (s *Store) GetCredential(ctx context.Context, id string) (Credential, error) {
	return credentials().Get(ctx, s.db, "WHERE id = ?", id)
}

// CredentialQuery selects keys. An empty field selects all.
type CredentialQuery struct {
	Page
	Account string
	State   string    // active, expired or revoked
	Now     time.Time // for State
}

// ListCredentials gives keys, newest first.
func (s *Store) ListCredentials(ctx context.Context, q CredentialQuery) ([]Credential, string, error) {
	var w store.Where
	w.Equal("account", q.Account)
	switch now := q.Now.UnixMilli(); q.State {
	case "":
	case "revoked":
		w.And("revoked IS NOT NULL")
	case "expired":
		w.And("revoked IS NULL AND expires <= ?", now)
	case "active":
		w.And("revoked IS NULL AND (expires IS NULL OR expires > ?)", now)
	default:
		return nil, "", fmt.Errorf("%w: state %.40q is none of active, expired, revoked", ErrInvalid, q.State)
	}
	return credentials().Page(ctx, s.db, w, newest("created"), q.Page)
}

// CredentialsInForce gives the keys that are neither revoked nor expired at now, by id, and the version that they belong to,
// which rises with every change of a key.
func (s *Store) CredentialsInForce(ctx context.Context, now time.Time) ([]Credential, uint64, error) {
	var out []Credential
	var version int64
	err := s.db.View(ctx, func(tx *store.DB) (err error) {
		if out, err = credentials().All(ctx, tx, "WHERE revoked IS NULL AND (expires IS NULL OR expires > ?) ORDER BY id", now.UnixMilli()); err == nil {
			version, err = tx.Number(ctx, "credentials")
		}
		return err
	})
	return out, uint64(version), err
}

// loadOf is a load with its place.
type loadOf struct {
	Load
	artifact string
	number   int64
}

func loads() store.Table[loadOf] {
	return store.Table[loadOf]{Name: "loads", Bind: func(c *store.Columns, v *loadOf) {
		c.Key("artifact", &v.artifact)
		c.Value("number", &v.number)
		v.Load.Bind(c)
	}}
}
