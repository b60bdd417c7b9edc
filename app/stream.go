package app

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/traffic/campaign"
	"github.com/palladium-guard/palladium/traffic/linkage"
	"github.com/palladium-guard/palladium/traffic/tap/file"
)

// A snapshot is a header and one zstd stream of sections.
//
//	header   magic [16]byte, format version uint32, 0 uint32, layout of links uint64, of groups uint64, xxh3 of these
//	section  name [4]byte, then chunks: length uint32, bytes; a length of 0 ends them; xxh3 of the chunks' bytes
//	end      "end\n", xxh3 of all sections' sums
//
// Numbers are little-endian. A layout is the xxh3 of a Layout: links and groups are kept as they lie in memory, so
// that only a program with the same types can read them.
const (
	stateMagic   = "palladium state\n"
	stateVersion = 1
	headerSize   = 16 + 4 + 4 + 8 + 8 + 8
	maxChunk     = 1 << 20
)

const moveAway = "restore it from a copy, or move it away to start anew, with the files read so far counted again"

func header() []byte {
	h := []byte(stateMagic)
	h = binary.LittleEndian.AppendUint32(h, stateVersion)
	h = binary.LittleEndian.AppendUint32(h, 0)
	h = binary.LittleEndian.AppendUint64(h, xxh3.HashString(linkage.Layout()))
	h = binary.LittleEndian.AppendUint64(h, xxh3.HashString(campaign.Layout()))
	return binary.LittleEndian.AppendUint64(h, xxh3.Hash(h))
}

// checkHeader tells a damaged file from one of another make.
func checkHeader(h []byte) error {
	version := binary.LittleEndian.Uint32(h[16:])
	sum := binary.LittleEndian.Uint64(h[headerSize-8:]) == xxh3.Hash(h[:headerSize-8])
	switch {
	case string(h[:16]) != stateMagic:
		return fmt.Errorf("%w: it is no state of palladium: name another directory", ErrState)
	case !sum && version == stateVersion:
		return fmt.Errorf("%w: its header is damaged: %s", ErrState, moveAway)
	case version > stateVersion:
		return fmt.Errorf("%w: it has format %d, this program reads %d: use the newer version that wrote it, or another directory",
			ErrState, version, stateVersion)
	case !bytes.Equal(h, header()):
		return fmt.Errorf("%w: it was written by another version: use that one, or name another directory and read the traffic again", ErrState)
	}
	return nil
}

// WriteSnapshot writes a detector, the ids that were taken in and a book of what else its keeper needs, as JSON. The
// detector's clock is the keeper's to put into the book.
func WriteSnapshot(w io.Writer, d *Detector, seen *file.Seen, book any) error {
	if _, err := w.Write(header()); err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	out := &sections{w: z, sum: xxh3.New()}
	for _, p := range []struct {
		name string
		save func(io.Writer) error
	}{
		{"book", func(w io.Writer) error { return json.NewEncoder(w).Encode(book) }},
		{"link", d.index.Save},
		{"camp", d.tracker.Save},
		{"seen", seen.Save},
	} {
		if err := out.section(p.name, p.save); err != nil {
			_ = z.Close() // frees its goroutines; the file is dropped
			return err
		}
	}
	if err := out.end(); err != nil {
		_ = z.Close()
		return err
	}
	return z.Close()
}

// sections writes sections.
type sections struct {
	w    io.Writer
	sum  *xxh3.Hasher // of the section
	sums []byte
	n    [8]byte
}

func (o *sections) section(name string, save func(io.Writer) error) error {
	o.sum.Reset()
	if _, err := io.WriteString(o.w, name); err != nil {
		return err
	}
	if err := save(o); err != nil {
		return err
	}
	var tail [12]byte // an empty chunk and the sum
	binary.LittleEndian.PutUint64(tail[4:], o.sum.Sum64())
	o.sums = append(o.sums, tail[4:]...)
	_, err := o.w.Write(tail[:])
	return err
}

// Write writes p in chunks.
func (o *sections) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		part := p[done:min(done+maxChunk, len(p))]
		binary.LittleEndian.PutUint32(o.n[:4], uint32(len(part)))
		if _, err := o.w.Write(o.n[:4]); err != nil {
			return done, err
		}
		if _, err := o.w.Write(part); err != nil {
			return done, err
		}
		_, _ = o.sum.Write(part) // a hash never fails
		done += len(part)
	}
	return done, nil
}

func (o *sections) end() error {
	_, err := o.w.Write(binary.LittleEndian.AppendUint64([]byte("end\n"), xxh3.Hash(o.sums)))
	return err
}

// ReadSnapshot reads a snapshot. Once its book is decoded, into has to look at it and give a new detector, which the rest
// is put into. Errors of a damaged or foreign snapshot wrap ErrState; the detector is of no use after one.
func ReadSnapshot(r io.Reader, book any, into func() (*Detector, error)) (*Detector, *file.Seen, error) {
	h := make([]byte, headerSize)
	if n, err := io.ReadFull(r, h); err != nil {
		if n >= 16 && string(h[:16]) != stateMagic {
			return nil, nil, checkHeader(h)
		}
		return nil, nil, damaged(err)
	}
	if err := checkHeader(h); err != nil {
		return nil, nil, err
	}
	z, err := zstd.NewReader(bufio.NewReaderSize(r, 1<<20), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, nil, err
	}
	defer z.Close()
	in := &unsections{r: bufio.NewReaderSize(z, 1<<20), sum: xxh3.New()}
	err = in.section("book", func(r io.Reader) error {
		return json.NewDecoder(r).Decode(book)
	})
	if err != nil {
		return nil, nil, damaged(err)
	}
	d, err := into()
	if err != nil {
		return nil, nil, err
	}
	opt := &d.opt
	var seen *file.Seen
	err = in.section("link", func(r io.Reader) (err error) {
		d.index, err = linkage.Load(r, opt.linkage())
		return err
	})
	if err == nil {
		err = in.section("camp", func(r io.Reader) (err error) {
			d.tracker, err = campaign.Load(r, opt.campaign(), d.index.Accounts(), d.index.Tokens())
			return err
		})
	}
	if err == nil {
		err = in.section("seen", func(r io.Reader) (err error) {
			seen, err = file.LoadSeen(r)
			return err
		})
	}
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return nil, nil, damaged(err)
	}
	return d, seen, nil
}

func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends early")
	}
	return fmt.Errorf("%w: it is damaged: %w: %s", ErrState, err, moveAway)
}

var errSum = errors.New("a checksum does not fit")

// unsections reads sections.
type unsections struct {
	r    *bufio.Reader
	sum  *xxh3.Hasher
	sums []byte
	left int // bytes of the chunk
	done bool
}

// section calls load with the content of the next section, which must have the given name, and checks the sum.
func (in *unsections) section(name string, load func(io.Reader) error) error {
	in.sum.Reset()
	in.left, in.done = 0, false
	var got [4]byte
	if _, err := io.ReadFull(in.r, got[:]); err != nil {
		return err
	}
	if string(got[:]) != name {
		return errors.New("a section is not where it should be")
	}
	if err := load(in); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	var sum [8]byte
	if _, err := io.ReadFull(in.r, sum[:]); err != nil {
		return err
	}
	in.sums = append(in.sums, sum[:]...)
	if binary.LittleEndian.Uint64(sum[:]) != in.sum.Sum64() {
		return errSum
	}
	return nil
}

// Read reads the section's content.
func (in *unsections) Read(p []byte) (int, error) {
	for in.left == 0 {
		if in.done {
			return 0, io.EOF
		}
		var n [4]byte
		if _, err := io.ReadFull(in.r, n[:]); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		in.left = int(binary.LittleEndian.Uint32(n[:]))
		if in.left > maxChunk {
			return 0, errSum
		}
		in.done = in.left == 0
	}
	n, err := in.r.Read(p[:min(len(p), in.left)])
	in.left -= n
	_, _ = in.sum.Write(p[:n]) // a hash never fails
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (in *unsections) end() error {
	want := binary.LittleEndian.AppendUint64([]byte("end\n"), xxh3.Hash(in.sums))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in.r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errSum
	}
	if _, err := in.r.ReadByte(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}
