package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/palladium-guard/palladium/traffic/gateway/pool"
)

// What is waited for, and read, of an upstream that is asked for its models beside the one that answers.
const (
	modelsTime  = 5 * time.Second
	modelsBytes = 4 << 20
)

// listsModels reports whether the answer is a list of models that the gateway puts together: of several upstreams, of
// one that serves not all it has, or for a credential that may not use all.
func (x *exchange) listsModels() bool {
	return x.route.Name == "models" && x.route.prefix == "" &&
		(len(x.caller.Scopes.Models) > 0 || len(x.s.pool.All()) > 1 || x.up.Chooses())
}

// models makes the list of models that the caller can ask for of the answer of one upstream and those of the others, in
// the order of the configuration; the first to name a model describes it. Entries stay as they are. An upstream that
// does not answer is left out.
func (x *exchange) models(ctx context.Context, body []byte) ([]byte, error) {
	var list map[string]json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var own []json.RawMessage
	if err := json.Unmarshal(list["data"], &own); err != nil {
		return nil, err
	}
	all := x.s.pool.All()
	lists := x.otherModels(ctx, all)
	kept, ids := []json.RawMessage{}, []string{}
	seen := map[string]bool{}
	for i, u := range all {
		entries := lists[i]
		if u == x.up {
			entries = own
		}
		for _, m := range entries {
			var entry struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(m, &entry); err != nil || seen[entry.ID] || !x.caller.Scopes.Model(entry.ID) || !u.Serves(entry.ID) {
				continue
			}
			if s := u.Secret(); s != "" && bytes.Contains(m, []byte(s)) {
				continue
			}
			seen[entry.ID] = true
			kept, ids = append(kept, m), append(ids, entry.ID)
		}
	}
	var err error
	if list["data"], err = json.Marshal(kept); err != nil {
		return nil, err
	}
	for name, at := range map[string]int{"first_id": 0, "last_id": len(ids) - 1} {
		if _, ok := list[name]; !ok {
			continue
		}
		list[name] = json.RawMessage("null")
		if len(ids) > 0 {
			if list[name], err = json.Marshal(ids[at]); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(list)
}

// otherModels asks the upstreams beside the one that answers. What it returns is in the order of all.
func (x *exchange) otherModels(ctx context.Context, all []*pool.Upstream) [][]json.RawMessage {
	ctx, cancel := context.WithTimeout(ctx, modelsTime)
	defer cancel()
	lists := make([][]json.RawMessage, len(all))
	var group sync.WaitGroup
	for i, u := range all {
		if u == x.up || !u.Well(x.start.UnixNano()) {
			continue
		}
		req := x.request(u)
		group.Go(func() { lists[i] = modelsOf(ctx, u, req) })
	}
	group.Wait()
	return lists
}

// modelsOf asks one upstream; nil when it does not answer as it should.
func modelsOf(ctx context.Context, u *pool.Upstream, req *http.Request) []json.RawMessage {
	resp, unsent, err := u.Send(ctx, req, nil)
	if unsent {
		return nil
	}
	defer u.Done()
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, modelsBytes))
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return nil
	}
	return list.Data
}

// namedModel is the model that the path names, of the endpoint that describes one.
func (x *exchange) namedModel() (string, bool) {
	if x.route.Name != "models" || x.route.prefix == "" {
		return "", false
	}
	return strings.TrimPrefix(x.r.URL.Path, x.route.prefix), true
}
