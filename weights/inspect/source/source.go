// Package source looks into what is written by people beside the weights, and can decide what runs: configurations, chat
// templates, Python and other programs, and Keras models, whose layers are a configuration wherever it is stored.
package source

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// maxLine is how much of one line of text is looked at, in bytes.
const maxLine = 64 << 10

// Formats returns the formats.
func Formats() []inspect.Format {
	return []inspect.Format{
		{Name: "JSON", Extensions: []string{".json"}, Match: matchJSON, Scan: scanJSON},
		{Name: "template", Extensions: []string{".jinja", ".jinja2", ".j2"}, Match: func(f *inspect.File) bool { return isText(f) && templateName(f) }, Scan: scanTemplate},
		{Name: "Python", Fallback: true, Extensions: []string{".py", ".pyw", ".pyi"}, Match: matchPython, Scan: scanPython},
		{Name: "script", Fallback: true, Extensions: []string{".sh", ".bash", ".bat", ".ps1"}, Match: matchScript, Scan: func(f *inspect.File) {
			f.Report(inspect.RuleCode, inspect.Unknown, 0, "the file is a script")
		}},
		{Name: "text", Fallback: true, Match: matchText, Scan: scanText},
		{Name: "HDF5", Extensions: []string{".h5", ".hdf5"}, Match: matchHDF5, Scan: scanHDF5},
		{Name: "machine code", Extensions: []string{".so", ".dll", ".dylib", ".exe", ".pyd", ".pyc", ".wasm"}, Match: func(f *inspect.File) bool { return native(f) != "" }, Scan: func(f *inspect.File) {
			f.Report(inspect.RuleNative, inspect.Suspicious, 0, "the file is %s", native(f))
		}},
		{Name: "image", Extensions: []string{".png", ".jpg", ".jpeg", ".gif", ".webp"}, Match: isImage, Scan: func(*inspect.File) {}},
	}
}

// isText reports whether the head is UTF-8 without control characters.
func isText(f *inspect.File) bool {
	h := f.Head()
	if int64(len(h)) < f.Size { // a character may be cut
		for range utf8.UTFMax {
			if utf8.Valid(h) || len(h) == 0 {
				break
			}
			h = h[:len(h)-1]
		}
	}
	if !utf8.Valid(h) || len(h) == 0 {
		return false
	}
	return !bytes.ContainsFunc(h, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != 0x1b })
}

func templateName(f *inspect.File) bool {
	return slices.Contains([]string{".jinja", ".jinja2", ".j2"}, f.Extension())
}

func scanTemplate(f *inspect.File) { f.Template(string(f.Bytes(0, 2<<20)), 0) }

func matchText(f *inspect.File) bool {
	return isText(f) && !matchJSON(f) && !templateName(f) && !matchPython(f) && !matchScript(f)
}

func matchScript(f *inspect.File) bool {
	h := f.Head()
	if slices.Contains([]string{".sh", ".bash", ".bat", ".ps1"}, f.Extension()) {
		return isText(f)
	}
	return isText(f) && bytes.HasPrefix(h, []byte("#!")) && !matchPython(f)
}

// lines calls visit with each line, cut at maxLine, and the place where it begins. It returns the place of the first
// byte that text does not have, or -1.
func lines(f *inspect.File, visit func(line []byte, at int64)) (int64, error) {
	s := f.Section(0, f.Size)
	buf := make([]byte, 0, min(maxLine, f.Size+1))
	var at int64
	odd := int64(-1)
	for {
		n, err := io.ReadFull(s, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return odd, err
		}
		for len(buf) > 0 {
			end, next := bytes.IndexByte(buf, '\n'), 0
			switch {
			case end >= 0:
				next = end + 1
			case last || len(buf) == cap(buf):
				end, next = len(buf), len(buf)
			default:
				end = -1
			}
			if end < 0 {
				break
			}
			if i := bytes.IndexByte(buf[:end], 0); i >= 0 && odd < 0 {
				odd = at + int64(i)
			}
			visit(buf[:end], at)
			at += int64(next)
			buf = buf[next:]
		}
		if last {
			return odd, nil
		}
		// Move what is left to the front of the same memory.
		front := make([]byte, len(buf), min(maxLine, f.Size+1))
		copy(front, buf)
		buf = front
	}
}

// scanText looks for the tags by which YAML makes Python objects, and for what Hydra makes.
func scanText(f *inspect.File) {
	target := regexp.MustCompile(`(?:^|[\s{,])["']?_target_["']?\s*:\s*["']?([\w.]+)`)
	odd, err := lines(f, func(line []byte, at int64) {
		if i := bytes.Index(line, []byte("!!python/")); i >= 0 && (f.Extension() == ".yaml" || f.Extension() == ".yml") {
			tag := string(line[i:])
			v := inspect.Suspicious
			if strings.HasPrefix(tag, "!!python/object") || strings.HasPrefix(tag, "!!python/name") || strings.HasPrefix(tag, "!!python/module") {
				v = inspect.Hostile
			}
			f.Report(inspect.RuleCode, v, at+int64(i), "the tag %s makes a loader of YAML run Python", inspect.Quote(tag[:min(len(tag), 80)]))
		}
		if m := target.FindSubmatchIndex(line); m != nil && (f.Extension() == ".yaml" || f.Extension() == ".yml") {
			f.Target(string(line[m[2]:m[3]]), at+int64(m[2]))
		}
	})
	if err != nil {
		f.Unreadable(err)
	}
	if odd >= 0 {
		f.Report(inspect.RuleTail, inspect.Suspicious, odd, "the text holds binary data")
	}
}

// native names the machine or byte code that the file is, or returns "".
func native(f *inspect.File) string {
	h := f.Head()
	switch {
	case bytes.HasPrefix(h, []byte("\x7fELF")):
		return "an ELF program or library"
	case bytes.HasPrefix(h, []byte("MZ")) && len(h) >= 64:
		at := int(h[0x3c]) | int(h[0x3d])<<8
		if at+4 <= len(h) && string(h[at:at+2]) == "PE" {
			return "a Windows program or library"
		}
	case bytes.HasPrefix(h, []byte("\xcf\xfa\xed\xfe")), bytes.HasPrefix(h, []byte("\xce\xfa\xed\xfe")), bytes.HasPrefix(h, []byte("\xfe\xed\xfa\xcf")), bytes.HasPrefix(h, []byte("\xca\xfe\xba\xbe\x00\x00\x00")):
		return "a macOS program or library, or Java byte code"
	case bytes.HasPrefix(h, []byte("\x00asm")):
		return "WebAssembly"
	case len(h) > 16 && h[2] == '\r' && h[3] == '\n' && f.Extension() == ".pyc":
		return "Python byte code"
	}
	return ""
}

func isImage(f *inspect.File) bool {
	h := f.Head()
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a"} {
		if bytes.HasPrefix(h, []byte(magic)) {
			return true
		}
	}
	return len(h) > 12 && string(h[:4]) == "RIFF" && string(h[8:12]) == "WEBP"
}
