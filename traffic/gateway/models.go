package gateway

import (
	"encoding/json"
	"strings"
)

// filtersModels reports whether the answer lists models that the credential may not use.
func (x *exchange) filtersModels() bool {
	return x.route.Name == "models" && x.route.prefix == "" && len(x.caller.Scopes.Models) > 0
}

// ownModels leaves in a list of models those that the credential may use. Their entries stay as they are.
func (x *exchange) ownModels(body []byte) ([]byte, error) {
	var list map[string]json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var data []json.RawMessage
	if err := json.Unmarshal(list["data"], &data); err != nil {
		return nil, err
	}
	kept := []json.RawMessage{}
	for _, m := range data {
		var entry struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(m, &entry); err == nil && x.caller.Scopes.Model(entry.ID) {
			kept = append(kept, m)
		}
	}
	var err error
	if list["data"], err = json.Marshal(kept); err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// namedModel is the model that the path names, of the endpoint that describes one.
func (x *exchange) namedModel() (string, bool) {
	if x.route.Name != "models" || x.route.prefix == "" {
		return "", false
	}
	return strings.TrimPrefix(x.r.URL.Path, x.route.prefix), true
}
