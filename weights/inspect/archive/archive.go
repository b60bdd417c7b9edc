// Package archive looks into containers: zip as PyTorch, NumPy and Keras use it, tar, and single compressed files. Each
// member is inspected by its own content. Containers that are not opened here are named, and never safe.
package archive

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxFrame is the most memory that unpacking one stream takes, in bytes.
const maxFrame = 8 << 20

// Formats returns the containers.
func Formats() []inspect.Format {
	formats := []inspect.Format{
		// Several formats are zip archives inside; .bin is used for both forms of PyTorch's.
		{Name: "zip", Extensions: []string{".zip", ".npz", ".keras", ".pt", ".pth", ".ckpt", ".ptl", ".mar", ".nemo"}, Match: matchZip, Scan: scanZip},
		{Name: "tar", Extensions: []string{".tar", ".pt", ".pth", ".nemo"}, Match: matchTar, Scan: scanTar},
		{Name: "opaque container", Extensions: []string{".7z", ".rar", ".cab", ".xz", ".lz4", ".lzma"}, Match: func(f *inspect.File) bool { return opaque(f) != "" }, Scan: scanOpaque},
	}
	for _, c := range streams() {
		formats = append(formats, c.format())
	}
	return formats
}

// stream is a way to compress one file.
type stream struct {
	name  string
	exts  []string
	match func(head []byte) bool
	open  func(io.Reader) (io.Reader, error)
}

func streams() []stream {
	return []stream{
		{"gzip", []string{".gz", ".tgz"}, prefix("\x1f\x8b\x08"), func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"bzip2", []string{".bz2"}, func(h []byte) bool { return len(h) > 10 && string(h[:3]) == "BZh" && string(h[4:10]) == "1AY&SY" },
			func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
		{"zlib", []string{".z"}, matchZlib, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		{"zstd", []string{".zst", ".zstd"}, prefix("\x28\xb5\x2f\xfd"), func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxFrame), zstd.WithDecoderLowmem(true))
		}},
	}
}

func prefix(magic string) func([]byte) bool {
	return func(h []byte) bool { return bytes.HasPrefix(h, []byte(magic)) }
}

// matchZlib asks for a valid header and for data that can be unpacked, since the header is but two bytes.
func matchZlib(h []byte) bool {
	if len(h) < 8 || h[0]&0x0f != 8 || h[0]>>4 > 7 || (int(h[0])<<8|int(h[1]))%31 != 0 || h[1]&0x20 != 0 {
		return false
	}
	r, err := zlib.NewReader(bytes.NewReader(h))
	if err != nil {
		return false
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<16))
	return n >= 16 || err == nil
}

func (s stream) format() inspect.Format {
	return inspect.Format{Name: s.name, Extensions: s.exts, Match: func(f *inspect.File) bool { return s.match(f.Head()) }, Scan: func(f *inspect.File) {
		name := strings.TrimSuffix(f.Name(), path.Ext(f.Name()))
		if f.Extension() == ".tgz" {
			name += ".tar"
		}
		f.Unpack(name, func() (io.Reader, error) { return s.open(f.Section(0, f.Size)) }, f.Size, f.Role)
	}}
}

// opaque names the container that the file is, or returns "".
func opaque(f *inspect.File) string {
	h := f.Head()
	for _, c := range [][2]string{
		{"7z\xbc\xaf\x27\x1c", "7-Zip"}, {"Rar!\x1a\x07", "RAR"}, {"MSCF\x00\x00\x00\x00", "Cabinet"}, {"\xfd7zXZ\x00", "xz"}, {"\x04\x22\x4d\x18", "LZ4"},
		{"\x5d\x00\x00\x80\x00\xff\xff\xff\xff", "LZMA"}, {"hsqs", "SquashFS"}, {"!<arch>\n", "ar"}, {"070701", "cpio"}, {"070707", "cpio"}, {"LZIP", "lzip"},
		{"\x1f\x9d", "compress"}, {"\xff\x06\x00\x00sNaPpY", "Snappy"}, {"Obj\x01", "Avro"},
	} {
		if bytes.HasPrefix(h, []byte(c[0])) {
			return c[1]
		}
	}
	return ""
}

func scanOpaque(f *inspect.File) {
	v := inspect.Unknown
	if name := opaque(f); name != "" {
		switch f.Extension() {
		case ".7z", ".rar", ".cab", ".xz", ".lz4", ".lzma":
		default: // a model that only some loaders, with other tools at hand, can open
			v = inspect.Suspicious
		}
		f.Report(inspect.RuleContainer, v, 0, "the content is a %s container, which is not opened here", name)
	}
}

// checkName reports a member name that leads out of the folder in which it is unpacked.
func checkName(f *inspect.File, name string, off int64) {
	slashed := strings.ReplaceAll(name, "\\", "/")
	drive := len(slashed) > 1 && slashed[1] == ':'
	if strings.HasPrefix(slashed, "/") || drive {
		f.Report(inspect.RulePath, inspect.Hostile, off, "member %s has an absolute path", inspect.Quote(name))
	}
	for part := range strings.SplitSeq(slashed, "/") {
		if part == ".." {
			f.Report(inspect.RulePath, inspect.Hostile, off, "member %s leads out of its folder", inspect.Quote(name))
			return
		}
	}
	if strings.ContainsRune(name, 0) {
		f.Report(inspect.RulePath, inspect.Hostile, off, "member %s has a zero byte in its name, where some readers stop", inspect.Quote(name))
	}
}
