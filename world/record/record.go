// Package record writes a world to files in the traffic format and its truth beside them, and reads truth back.
package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/world"
)

// TruthName is the name of the truth file in a world's folder. It is JSON Lines, named so that a scan of the folder
// passes it by.
const TruthName = "truth.txt"

// Summary says what Write wrote.
type Summary struct {
	Accounts  int64 // account records
	Exchanges int64
	Campaigns int
}

// Free refuses a folder that holds anything but a world: what else lies there would be read as its traffic, and a file
// of the same name that is no world's would be lost. A folder that does not exist, or is empty, is free.
func Free(dir string) error {
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(found) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the folder for the world: %w", err)
	}
	ours := []string{"accounts.jsonl", "exchanges.jsonl", "exchanges.jsonl.zst", TruthName}
	whole := false
	for _, e := range found {
		if name := strings.TrimSuffix(e.Name(), ".part"); !slices.Contains(ours, name) {
			return fmt.Errorf("make the world: %s is not empty: name another folder (there is %s, which is no part of a world)", dir, e.Name())
		}
		whole = whole || e.Name() == TruthName
	}
	if !whole {
		return fmt.Errorf("make the world: %s is not empty: name another folder, or empty it (%s is missing, so it may be no world)", dir, TruthName)
	}
	return nil
}

// Write plays w through into dir: accounts.jsonl, exchanges.jsonl (or .jsonl.zst) and the truth. dir is made when it
// does not exist; a world that is already in it is replaced. progress, when not nil, is called now and then with the number of exchanges written.
func Write(w *world.World, dir string, compress bool, progress func(int64)) (Summary, error) {
	var sum Summary
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return sum, fmt.Errorf("make folder for the world: %w", err)
	}
	err := write(filepath.Join(dir, "accounts.jsonl"), false, func(out io.Writer) error {
		var line []byte
		for a := range w.Accounts() {
			line = AppendAccount(line[:0], a)
			if _, err := out.Write(line); err != nil {
				return err
			}
			sum.Accounts++
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	name, other := "exchanges.jsonl", "exchanges.jsonl.zst"
	if compress {
		name, other = other, name
	}
	// The exchanges of an earlier world would be read as part of this one.
	if err := os.Remove(filepath.Join(dir, other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sum, fmt.Errorf("remove the exchanges of an earlier world: %w", err)
	}
	err = write(filepath.Join(dir, name), compress, func(out io.Writer) error {
		var line []byte
		for e := range w.Exchanges() {
			line = AppendExchange(line[:0], e)
			if _, err := out.Write(line); err != nil {
				return err
			}
			if sum.Exchanges++; progress != nil && sum.Exchanges%65536 == 0 {
				progress(sum.Exchanges)
			}
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	t := w.Truth()
	sum.Campaigns = len(t.Campaigns)
	return sum, write(filepath.Join(dir, TruthName), false, func(out io.Writer) error { return WriteTruth(out, t) })
}

// write lets fill write a file under a provisional name, which it loses only when all of it is on disk.
func write(name string, compress bool, fill func(io.Writer) error) (err error) {
	part := name + ".part"
	f, err := os.Create(part)
	if err != nil {
		return fmt.Errorf("create world file: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write world file %s, is the disk full? %w", name, errors.Join(err, f.Close(), os.Remove(part)))
		}
	}()
	buf := bufio.NewWriterSize(f, 1<<18)
	var out io.Writer = buf
	if compress {
		z, err := zstd.NewWriter(buf, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return err
		}
		if err := errors.Join(fill(z), z.Close()); err != nil {
			return err
		}
	} else if err := fill(out); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(part, name)
}

// kinds of truth records.
const (
	kindWorld    = "world"
	kindCampaign = "campaign"
	kindAccount  = "account_truth"
)

type worldLine struct {
	Kind string `json:"kind"`
	*world.Truth
}

type campaignLine struct {
	Kind string `json:"kind"`
	*world.CampaignTruth
}

type accountLine struct {
	Kind string `json:"kind"`
	*world.AccountTruth
}

// WriteTruth writes t as JSON Lines: the world, its campaigns, its accounts.
func WriteTruth(out io.Writer, t *world.Truth) error {
	enc := json.NewEncoder(out)
	if err := enc.Encode(worldLine{kindWorld, t}); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	for i := range t.Campaigns {
		if err := enc.Encode(campaignLine{kindCampaign, &t.Campaigns[i]}); err != nil {
			return fmt.Errorf("write truth: %w", err)
		}
	}
	for i := range t.Accounts {
		if err := enc.Encode(accountLine{kindAccount, &t.Accounts[i]}); err != nil {
			return fmt.Errorf("write truth: %w", err)
		}
	}
	return nil
}

// ReadTruth reads what WriteTruth wrote.
func ReadTruth(in io.Reader) (*world.Truth, error) {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 1<<20), 1<<28)
	var t *world.Truth
	for n := 1; s.Scan(); n++ {
		var kind struct{ Kind string }
		err := json.Unmarshal(s.Bytes(), &kind)
		switch {
		case err != nil:
		case kind.Kind == kindWorld:
			t = &world.Truth{}
			err = json.Unmarshal(s.Bytes(), t)
		case t == nil || kind.Kind != kindCampaign && kind.Kind != kindAccount:
			err = errors.New("this is not a truth file written by palladium world")
		case kind.Kind == kindCampaign:
			var c world.CampaignTruth
			err = json.Unmarshal(s.Bytes(), &c)
			t.Campaigns = append(t.Campaigns, c)
		case kind.Kind == kindAccount:
			var a world.AccountTruth
			err = json.Unmarshal(s.Bytes(), &a)
			t.Accounts = append(t.Accounts, a)
		}
		if err != nil {
			return nil, fmt.Errorf("read truth, line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read truth: %w", err)
	}
	if t == nil {
		return nil, errors.New("read truth: the file is empty")
	}
	return t, nil
}
