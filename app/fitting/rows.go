package fitting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/palladium-guard/palladium/traffic/campaign"
)

const rowSchema = "palladium.fitting-rows/v1"

// header is the first line of a file of rows, its schema and its features: rows of other features would be read amiss.
func header() []string {
	h := []string{rowSchema}
	for _, n := range campaign.FeatureNames() {
		h = append(h, n[0])
	}
	return h
}

// WriteRows writes rows as JSON lines, for ReadRows, so that another fit need not play the worlds again.
func WriteRows(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	err := enc.Encode(header())
	for i := 0; i < len(rows) && err == nil; i++ {
		err = enc.Encode(&rows[i])
	}
	return err
}

// ReadRows reads what WriteRows wrote. Rows of a release with other features are refused.
func ReadRows(r io.Reader) ([]Row, error) {
	dec := json.NewDecoder(r)
	var h []string
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	if !slices.Equal(h, header()) {
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
