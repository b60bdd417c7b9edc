package fitting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/palladium-guard/palladium/traffic/campaign"
)

// header begins a file of rows: rows of another set of features would be read amiss.
type header struct {
	Schema   string   `json:"schema"`
	Features []string `json:"features"`
}

const rowSchema = "palladium.fitting-rows/v1"

func newHeader() header {
	h := header{Schema: rowSchema}
	for _, n := range campaign.FeatureNames() {
		h.Features = append(h.Features, n[0])
	}
	return h
}

// WriteRows writes rows as JSON lines, for ReadRows, so that another fit need not play the worlds again.
func WriteRows(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	if err := enc.Encode(newHeader()); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	for i := range rows {
		if err := enc.Encode(&rows[i]); err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
	}
	return nil
}

// ReadRows reads what WriteRows wrote. Rows of a release with other features are refused.
func ReadRows(r io.Reader) ([]Row, error) {
	dec := json.NewDecoder(r)
	var h header
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	if h.Schema != rowSchema || !slices.Equal(h.Features, newHeader().Features) {
		return nil, fmt.Errorf("read rows: they are of another release or no rows at all, collect them anew")
	}
	var rows []Row
	for {
		var row Row
		if err := dec.Decode(&row); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("read row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
}
