package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrDamaged says that a file of the journal is not as it was written.
var ErrDamaged = errors.New("journal is damaged: restore the folder from a copy, or move it away and start with empty counts")

// A file is a run of batches. A batch is the length of what follows its head and the CRC-32C of it, 4 bytes each, then
// records, each after its length in 4 bytes. The folded file begins with a batch of one record: the number of the last
// segment that it covers.
const (
	batchHead  = 8
	recordHead = 4
	folded     = "folded"
	segments   = "segment-"
)

func appendRecord(b, record []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(record))), record...)
}

// sealBatch fills in the head of a batch.
func sealBatch(batch []byte) {
	binary.BigEndian.PutUint32(batch, uint32(len(batch)-batchHead))
	binary.BigEndian.PutUint32(batch[4:], crc32.Checksum(batch[batchHead:], crc32.MakeTable(crc32.Castagnoli)))
}

func (f *File) segment(number uint64) string {
	return filepath.Join(f.dir, fmt.Sprintf("%s%020d", segments, number))
}

// numbers lists the segments that there are, oldest first.
func (f *File) numbers() (out []uint64, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if digits, ok := strings.CutPrefix(e.Name(), segments); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), ErrDamaged)
			}
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// replay reads the folded file and the segments after it, and returns the number of the last one.
func (f *File) replay(take func([]byte) error) (last uint64, err error) {
	last, err = f.readFolded(take)
	if err != nil {
		return 0, err
	}
	numbers, err := f.numbers()
	if err != nil {
		return 0, err
	}
	end := len(numbers) - 1 // of those that hold something: one is only begun when all before it is on disk
	for end > 0 && f.empty(numbers[end]) {
		end--
	}
	for i, n := range numbers {
		if n <= last { // folded before a crash that came before it was removed
			if err := os.Remove(f.segment(n)); err != nil {
				return 0, err
			}
			continue
		}
		if n != last+1 {
			return 0, fmt.Errorf("%s is missing: %w", filepath.Base(f.segment(last+1)), ErrDamaged)
		}
		if err := f.readSegment(n, i >= end, take); err != nil {
			return 0, fmt.Errorf("%s: %w", f.segment(n), err)
		}
		last = n
	}
	return last, nil
}

func (f *File) empty(number uint64) bool {
	info, err := os.Stat(f.segment(number))
	return err == nil && info.Size() == 0
}

// readFolded gives take the folded records and returns the number of the last segment that they cover; 0 without any.
func (f *File) readFolded(take func([]byte) error) (covers uint64, err error) {
	in, err := os.Open(filepath.Join(f.dir, folded))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer in.Close()
	head := true
	at, err := readBatches(bufio.NewReaderSize(in, 256<<10), func(record []byte) error {
		if head {
			head = false
			if len(record) != 8 {
				return ErrDamaged
			}
			covers = binary.BigEndian.Uint64(record)
			return nil
		}
		return take(record)
	})
	if err != nil || head {
		return 0, fmt.Errorf("%s: byte %d: %w", in.Name(), at, errors.Join(err, ErrDamaged))
	}
	return covers, nil
}

// readSegment gives take the records of a segment. The last one that holds any may end in a batch that a crash cut off.
func (f *File) readSegment(number uint64, last bool, take func([]byte) error) error {
	in, err := os.OpenFile(f.segment(number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	at, err := readBatches(bufio.NewReaderSize(in, 256<<10), take)
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	// Batches are synced one after the other: only the last one can be incomplete, whatever part of it arrived.
	if !last || info.Size()-at > maxRoom+batchHead {
		return fmt.Errorf("byte %d: %w", at, err)
	}
	if err := in.Truncate(at); err != nil {
		return err
	}
	return in.Sync()
}

// readBatches gives take every record and returns where the first batch begins that is not whole; the error then wraps
// ErrDamaged. Other errors are those of reading and of take.
func readBatches(in io.Reader, take func([]byte) error) (at int64, err error) {
	var head [batchHead]byte
	var body []byte
	for {
		n, err := io.ReadFull(in, head[:])
		if errors.Is(err, io.EOF) && n == 0 {
			return at, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return at, fmt.Errorf("%w: the head of a batch is cut off", ErrDamaged)
		}
		if err != nil {
			return at, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size < recordHead || size > maxRoom {
			return at, fmt.Errorf("%w: a batch of %d bytes", ErrDamaged, size)
		}
		if body, err = readBody(in, body[:0], int(size)); err != nil {
			return at, err
		}
		if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(head[4:]) {
			return at, fmt.Errorf("%w: a batch has the wrong checksum", ErrDamaged)
		}
		for rest := body; len(rest) > 0; {
			if len(rest) < recordHead || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-recordHead) {
				return at, fmt.Errorf("%w: a record goes beyond its batch", ErrDamaged)
			}
			end := recordHead + int(binary.BigEndian.Uint32(rest))
			if err := take(rest[recordHead:end]); err != nil {
				return at, err
			}
			rest = rest[end:]
		}
		at += batchHead + int64(size)
	}
}

// readBody reads size bytes, in steps, so that a wrong length costs no more memory than there are bytes.
func readBody(in io.Reader, body []byte, size int) ([]byte, error) {
	const step = 1 << 20
	for len(body) < size {
		from := len(body)
		body = slices.Grow(body, min(step, size-from))[:from+min(step, size-from)]
		if _, err := io.ReadFull(in, body[from:]); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return body, fmt.Errorf("%w: a batch is cut off", ErrDamaged)
		} else if err != nil {
			return body, err
		}
	}
	return body, nil
}

// How long a fold that failed waits before it is tried again: longer each time.
const (
	foldLeast = time.Second
	foldMost  = time.Minute
)

// fold replaces all segments up to number by fewer records, beside the writer. A failure leaves them as they are, and it is
// tried again, but where a segment is damaged.
func (f *File) fold(number uint64) {
	if f.options.Fold == nil || !f.busy.CompareAndSwap(false, true) {
		return
	}
	f.folding.Go(func() {
		defer f.busy.Store(false)
		for wait := foldLeast; ; wait = min(2*wait, foldMost) {
			err := f.foldTo(number)
			if err == nil {
				f.folded.Store(nil)
				return
			}
			err = fmt.Errorf("shorten the journal: %w", err)
			f.folded.Store(&err)
			if errors.Is(err, ErrDamaged) {
				return
			}
			select {
			case <-time.After(wait):
			case <-f.stop:
				return
			}
		}
	})
}

func (f *File) foldTo(number uint64) error {
	state := f.options.Fold()
	covers, err := f.readFolded(state.Apply)
	if err != nil {
		return err
	}
	numbers, err := f.numbers()
	if err != nil {
		return err
	}
	numbers = slices.DeleteFunc(numbers, func(n uint64) bool { return n > number })
	for _, n := range numbers {
		if n <= covers {
			continue
		}
		if err := f.readSegment(n, false, state.Apply); err != nil {
			return fmt.Errorf("%s: %w", f.segment(n), err)
		}
	}
	if err := f.writeFolded(number, state); err != nil {
		return err
	}
	for _, n := range numbers {
		if err := os.Remove(f.segment(n)); err != nil {
			return err
		}
	}
	return nil
}

// writeFolded puts a new folded file in place of the one before.
func (f *File) writeFolded(number uint64, state Fold) (err error) {
	out, err := os.CreateTemp(f.dir, "."+folded+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()
	b := bufio.NewWriterSize(out, 256<<10)
	batch := appendRecord(make([]byte, batchHead), binary.BigEndian.AppendUint64(nil, number))
	flush := func() error {
		sealBatch(batch)
		_, err := b.Write(batch)
		batch = batch[:batchHead]
		return err
	}
	for record := range state.Records() {
		if batch = appendRecord(batch, record); len(batch) > 64<<10 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(batch) > batchHead {
		if err := flush(); err != nil {
			return err
		}
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), filepath.Join(f.dir, folded)); err != nil {
		return err
	}
	return syncDir(f.dir)
}

// syncDir makes what happened in a folder last.
func syncDir(dir string) error {
	if openModes {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
