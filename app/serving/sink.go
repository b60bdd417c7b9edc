package serving

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/palladium-guard/palladium"
)

// sinkFlush is how long a line may wait in memory.
const sinkFlush = time.Second

// lineSink writes observations to files of a folder, one a day in UTC, one JSON object a line. They hold keyed hashes and
// counts, no text. A disk that takes nothing loses lines, which are counted, and holds up nobody else.
type lineSink struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	day   string
	file  *os.File // nil before the first line, and while none can be opened
	out   *bufio.Writer
	timer *time.Timer
	armed bool
	lost  int64
	ill   bool // said so
}

// newLineSink makes the folder if need be.
func newLineSink(dir string, log *slog.Logger) (*lineSink, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of observations: %w", err)
	}
	s := &lineSink{dir: dir, log: log, out: bufio.NewWriterSize(nil, 64<<10)}
	s.timer = time.AfterFunc(time.Hour, s.flush)
	s.timer.Stop()
	return s, nil
}

// Observe writes o down.
func (s *lineSink) Observe(o *palladium.Observation) {
	line, err := json.Marshal(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.turn(time.UnixMilli(o.Time).UTC().Format(time.DateOnly))
	}
	if err == nil {
		_, err = s.out.Write(append(line, '\n'))
	}
	if err == nil && !s.armed {
		s.armed = true
		s.timer.Reset(sinkFlush)
	}
	s.tell(err)
}

// turn has the file of the day be the one that is written. A day that is over is not turned back to: what comes late goes
// with what comes now. mu is held.
func (s *lineSink) turn(day string) error {
	if s.file != nil && day <= s.day {
		return nil
	}
	err := s.end()
	file, e := os.OpenFile(filepath.Join(s.dir, "observations-"+day+".jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if e != nil {
		return errors.Join(err, e)
	}
	s.day, s.file = day, file
	s.out.Reset(file)
	if info, e := file.Stat(); e == nil && info.Size() > 0 {
		var last [1]byte
		if _, e := file.ReadAt(last[:], info.Size()-1); e == nil && last[0] != '\n' {
			_ = s.out.WriteByte('\n') // a crash left half a line; a failure shows with the next write
		}
	}
	return err
}

// end closes the file. mu is held.
func (s *lineSink) end() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.out.Flush(), s.file.Close())
	s.file = nil
	return err
}

// tell counts and reports an error, the first of a row only. After one the file is opened anew. mu is held.
func (s *lineSink) tell(err error) {
	if err == nil {
		s.ill = false
		return
	}
	s.lost++
	if s.file != nil {
		_ = s.file.Close() // it does not work
		s.file = nil
	}
	if !s.ill {
		s.ill = true
		s.log.Error("observations cannot be written", "error", err)
	}
}

func (s *lineSink) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.file == nil {
		return
	}
	if err := s.out.Flush(); err != nil {
		s.tell(err)
	}
}

// Lost is how many writes failed; each may have lost more than one line.
func (s *lineSink) Lost() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Close writes what waits.
func (s *lineSink) Close() error {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end()
}
