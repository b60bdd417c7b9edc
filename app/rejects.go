package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/palladium-guard/palladium"
)

// errNoReport keeps a list from being written where a scan gave no report.
var errNoReport = errors.New("there is no report")

// reject is a line of the list of skipped records.
type reject struct {
	File   string `json:"file"`
	Line   int64  `json:"line"` // 0 when it concerns the file as a whole
	Reason string `json:"reason"`
}

// listed runs a scan that also writes all that it skips to a file, whole or not at all.
func listed(ctx context.Context, opt ScanOptions) (c *Case, stats ScanStats, err error) {
	tell := opt.Rejected
	write := WriteFile(opt.RejectsFile, func(w io.Writer) error {
		var failed error
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		opt.Rejected = func(r palladium.Reject) {
			if failed == nil {
				failed = out.Encode(reject(r))
			}
			if tell != nil {
				tell(r)
			}
		}
		if c, stats, err = inspect(ctx, opt); c == nil {
			return errNoReport
		}
		return failed
	})
	if write != nil && !errors.Is(write, errNoReport) {
		err = cmp.Or(err, fmt.Errorf("list the skipped records: %w", write))
	}
	return c, stats, err
}
