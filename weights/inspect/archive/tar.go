package archive

import (
	"archive/tar"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// matchTar checks the sum of the first header, which even archives without the ustar mark have.
func matchTar(f *inspect.File) bool {
	h := f.Head()
	if len(h) < 512 || h[0] == 0 {
		return false
	}
	claimed, err := strconv.ParseUint(strings.Trim(string(h[148:156]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	var sum uint64
	for i, c := range h[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += uint64(c)
	}
	return sum == claimed
}

func scanTar(f *inspect.File) {
	s := f.Section(0, f.Size)
	r := tar.NewReader(s)
	seen := map[uint64]bool{}
	for {
		h, err := r.Next()
		at, _ := s.Seek(0, io.SeekCurrent)
		switch {
		case errors.Is(err, io.EOF):
			checkTarTail(f, at)
			return
		case err != nil:
			f.Report(inspect.RuleBroken, inspect.Suspicious, at, "the tar archive breaks: what comes before can be unpacked all the same")
			return
		}
		checkName(f, h.Name, at)
		if key := hash(strings.TrimSuffix(h.Name, "/")); seen[key] {
			f.Report(inspect.RuleDuplicate, inspect.Suspicious, at, "member %s is there twice", inspect.Quote(h.Name))
		} else if len(seen) < maxEntries {
			seen[key] = true
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg, tar.TypeCont:
			f.Member(h.Name, f.Section(at, h.Size), h.Size, f.Role)
		case tar.TypeSymlink, tar.TypeLink:
			v := inspect.Suspicious
			if strings.HasPrefix(h.Linkname, "/") || strings.Contains(h.Linkname, "..") {
				v = inspect.Hostile
			}
			f.Report(inspect.RuleLink, v, at, "member %s is a link to %s", inspect.Quote(h.Name), inspect.Quote(h.Linkname))
		default:
			f.Report(inspect.RuleLink, inspect.Suspicious, at, "member %s is no regular file", inspect.Quote(h.Name))
		}
	}
}

// checkTarTail reports what follows the end of the archive, which is filled up with zeros.
func checkTarTail(f *inspect.File, at int64) {
	s, buf := f.Section(at, f.Size-at), make([]byte, 32<<10)
	for pos := at; ; {
		n, err := s.Read(buf)
		for i, c := range buf[:n] {
			if c != 0 {
				f.Report(inspect.RuleTail, inspect.Suspicious, pos+int64(i), "bytes follow the end of the tar archive")
				return
			}
		}
		if pos += int64(n); err != nil {
			return
		}
	}
}
