package assets

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/proof/ledger"
)

// entry is an entry of the log.
type entry struct {
	Index  uint64    `json:"index"`
	Type   string    `json:"type"`
	Digest string    `json:"digest"`
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
}

func entryOf(index uint64, e *ledger.Entry) entry {
	return entry{index, e.Type, hex.EncodeToString(e.Digest[:]), e.Size, e.Time}
}

func (d *Desk) log() (*Log, error) {
	if d.o.Log == nil {
		return nil, api.NotFound("ledger here: the configuration names none; it")
	}
	return d.o.Log, nil
}

// head reads the checkpoint and the tree under it.
func (d *Desk) head() (*Log, *ledger.Checkpoint, *ledger.Tree, error) {
	l, err := d.log()
	if err != nil {
		return nil, nil, nil, err
	}
	cp, err := ledger.ReadCheckpoint(l.Files, l.Trust)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read checkpoint of the ledger: %w", err)
	}
	return l, cp, ledger.NewTree(l.Files, cp.Size), nil
}

// searched is how many bundles of 256 entries one request reads; the next one goes on from there.
const searched = 64

// mostTile is more than any file of hashes or entries holds.
const mostTile = 256 * (2 + ledger.MaxEntry)

// before is a position in the log: entries of a smaller index come next.
type before struct {
	Index uint64 `json:"index"`
}

func (d *Desk) listEntries(q *api.Request) (*api.Answer, error) {
	_, cp, tree, err := d.head()
	if err != nil {
		return nil, err
	}
	at := before{cp.Size}
	if err := api.ReadCursor(q.Param("cursor"), &at); err != nil {
		return nil, err
	}
	at.Index = min(at.Index, cp.Size)
	out, limit := []entry{}, q.Limit()
	for range searched {
		if at.Index == 0 || len(out) == limit {
			break
		}
		first, bundle, err := tree.Entries(at.Index - 1)
		if err != nil {
			return nil, err
		}
		for at.Index > first && len(out) < limit {
			at.Index--
			e, err := ledger.ParseEntry(bundle[at.Index-first])
			if err != nil {
				return nil, fmt.Errorf("read entry %d: %w", at.Index, err)
			}
			if wanted(q, &e) {
				out = append(out, entryOf(at.Index, &e))
			}
		}
	}
	next := ""
	if at.Index > 0 {
		next = api.Cursor(at)
	}
	return api.OK(struct {
		api.Page[entry]
		Size uint64 `json:"size"`
	}{api.NewPage(out, next), cp.Size})
}

// wanted reports whether the entry is one that was asked for.
func wanted(q *api.Request, e *ledger.Entry) bool {
	if t := q.Param("type"); t != "" && t != e.Type {
		return false
	}
	if s := q.Param("digest"); s != "" && s != hex.EncodeToString(e.Digest[:]) {
		return false
	}
	if from, err := time.Parse(time.RFC3339, q.Param("from")); err == nil && e.Time.Before(from) {
		return false
	}
	if to, err := time.Parse(time.RFC3339, q.Param("to")); err == nil && !e.Time.Before(to) {
		return false
	}
	return true
}

func (d *Desk) getEntry(q *api.Request) (*api.Answer, error) {
	l, cp, tree, err := d.head()
	if err != nil {
		return nil, err
	}
	index := uint64(q.Int("i", 0))
	if index >= cp.Size {
		return nil, api.NotFound("entry")
	}
	leaf, err := tree.Entry(index)
	if err != nil {
		return nil, err
	}
	e, err := ledger.ParseEntry(leaf)
	if err != nil {
		return nil, err
	}
	out := struct {
		Entry     entry           `json:"entry"`
		Leaf      string          `json:"leaf"`
		Statement json.RawMessage `json:"statement"`
		Text      string          `json:"text"`
		Base64    string          `json:"base64"`
	}{Entry: entryOf(index, &e), Leaf: base64.StdEncoding.EncodeToString(leaf)}
	body, err := ledger.ReadStatement(l.Files, index, &e)
	switch {
	case errors.Is(err, ledger.ErrMissing): // erased, as the law may want it: the entry stays
	case err != nil:
		return nil, err
	case utf8.Valid(body):
		out.Text = string(body)
		if json.Valid(body) {
			out.Statement = bytes.TrimSpace(body)
		}
	default:
		out.Base64 = base64.StdEncoding.EncodeToString(body)
	}
	return api.OK(out)
}

func (d *Desk) getProof(q *api.Request) (*api.Answer, error) {
	l, cp, _, err := d.head()
	if err != nil {
		return nil, err
	}
	index := uint64(q.Int("i", 0))
	if index >= cp.Size {
		return nil, api.NotFound("entry")
	}
	proof, err := ledger.Prove(l.Files, l.Trust, index)
	if err != nil {
		return nil, err
	}
	return &api.Answer{Raw: proof, Type: "text/plain; charset=utf-8"}, nil
}

func (d *Desk) getCheckpoint(*api.Request) (*api.Answer, error) {
	_, cp, _, err := d.head()
	if err != nil {
		return nil, err
	}
	return &api.Answer{Raw: cp.Raw, Type: "text/plain; charset=utf-8"}, nil
}

func (d *Desk) getKey(*api.Request) (*api.Answer, error) {
	l, err := d.log()
	if err != nil {
		return nil, err
	}
	return &api.Answer{Raw: []byte(strings.TrimSpace(l.Public) + "\n"), Type: "text/plain; charset=utf-8"}, nil
}

// getTile returns a file of hashes or entries. No path leads out of the log's folder of tiles.
func (d *Desk) getTile(q *api.Request) (*api.Answer, error) {
	l, err := d.log()
	if err != nil {
		return nil, err
	}
	name := "tile/" + q.PathValue("path")
	if !fs.ValidPath(name) || strings.Trim(name[len("tile/"):], "0123456789x/.pentris") != "" {
		return nil, api.NotFound("tile")
	}
	f, err := l.Files.Open(name)
	if err != nil {
		return nil, api.NotFound("tile")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > mostTile {
		return nil, api.NotFound("tile")
	}
	data, err := io.ReadAll(io.LimitReader(f, mostTile))
	if err != nil {
		return nil, fmt.Errorf("read tile: %w", err)
	}
	return &api.Answer{Raw: data, Type: "application/octet-stream"}, nil
}
