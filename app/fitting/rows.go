package fitting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/palladium-guard/palladium/traffic/extraction"
)

const rowSchema = "palladium.fitting-rows/v1"

// header is the first line of a file of rows, its schema and its features: rows of other features would be read amiss.
func header() []string {
	h := []string{rowSchema}
	for _, n := range extraction.Names() {
		h = append(h, n[0])
	}
	return h
}

// line is a row as it is written.
type line struct {
	Row
	Values []*float64 `json:"features"`
}

// WriteRows writes rows as JSON lines, for ReadRows, so that another fit need not play the worlds again.
func WriteRows(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	err := enc.Encode(header())
	for i := 0; i < len(rows) && err == nil; i++ {
		l := line{rows[i], make([]*float64, len(rows[i].Features))}
		for f, v := range rows[i].Features {
			if !math.IsNaN(v) {
				l.Values[f] = &v
			}
		}
		err = enc.Encode(&l)
	}
	return err
}

// ReadRows reads what WriteRows wrote. Rows of a release with other features are refused.
func ReadRows(r io.Reader) ([]Row, error) {
	dec := json.NewDecoder(r)
	var h []string
	if err := dec.Decode(&h); err != nil || !slices.Equal(h, header()) {
		return nil, errors.New("read rows: they are of another release or no rows at all, collect them anew")
	}
	for rows := []Row(nil); ; {
		var l line
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("read row %d: %w", len(rows)+1, err)
		}
		if len(l.Values) != len(l.Features) {
			return nil, fmt.Errorf("read row %d: it has %d features of %d, collect the rows anew", len(rows)+1, len(l.Values), len(l.Features))
		}
		for f, v := range l.Values {
			if l.Features[f] = math.NaN(); v != nil {
				l.Features[f] = *v
			}
		}
		rows = append(rows, l.Row)
	}
}
