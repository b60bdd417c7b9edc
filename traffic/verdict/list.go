package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
)

// ErrList says that a list of verdicts cannot be read.
var ErrList = errors.New("list of verdicts cannot be read")

// ReadList reads verdicts that a person or a program has written as JSON: one array, or one object after another as in
// JSON Lines. The keys are those of palladium.Verdict; delay is a number of nanoseconds or a text such as "2s"; a verdict
// without an id gets line-N, one without issued holds until it expires. Unknown keys are refused, so that a misspelt
// one does not go unnoticed. Errors wrap ErrList and name the line.
func ReadList(data []byte) ([]palladium.Verdict, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	array := bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("["))
	if array {
		if _, err := dec.Token(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrList, err)
		}
	}
	var out []palladium.Verdict
	for !array || dec.More() {
		line := lineAt(data, dec.InputOffset())
		var in listed
		err := dec.Decode(&in)
		if errors.Is(err, io.EOF) && !array {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrList, line, err)
		}
		v := in.verdict(line)
		if err := check(&v); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrList, line, err)
		}
		out = append(out, v)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%w: the array does not end: %w", ErrList, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: line %d: something follows the array", ErrList, lineAt(data, dec.InputOffset()))
	}
	return out, nil
}

// lineAt returns the line on which the first value after offset at starts.
func lineAt(data []byte, at int64) int {
	rest := data[at:]
	start := int(at) + len(rest) - len(bytes.TrimLeft(rest, " \t\r\n,"))
	return 1 + bytes.Count(data[:start], []byte("\n"))
}

// listed is a verdict as it is written by hand.
type listed struct {
	palladium.Verdict
	Delay span `json:"delay"`
}

func (l *listed) verdict(line int) palladium.Verdict {
	v := l.Verdict
	v.Delay = time.Duration(l.Delay)
	if v.ID == "" {
		v.ID = "line-" + strconv.Itoa(line)
	}
	return v
}

// span is a duration as a number of nanoseconds or a text such as "1.5s".
type span time.Duration

// UnmarshalJSON reads a duration.
func (s *span) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("delay %q is not a duration such as 2s or 500ms", clip(text))
		}
		*s = span(d)
		return nil
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return errors.New("delay is neither a number of nanoseconds nor a text such as \"2s\"")
	}
	*s = span(n)
	return nil
}
