package archive

import (
	"bytes"
	"cmp"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// The bounds of a central directory.
const (
	maxEntries = 100_000
	maxNames   = 8 << 20 // bytes of all names
)

const (
	endSize      = 22
	end64Size    = 56
	locatorSize  = 20
	centralSize  = 46
	localSize    = 30
	maxComment   = math.MaxUint16
	flagCrypted  = 1 << 0
	flagAfter    = 1 << 3 // sizes and sum follow the data
	methodStore  = 0
	methodFlate  = 8
	methodBzip2  = 12
	unixLink     = 0o120000
	unixTypeMask = 0o170000
)

func hash(s string) uint64 { return xxh3.HashString(s) }

// entry is one member, as the central directory has it.
type entry struct {
	name          string
	flags, method uint16
	crc           uint32
	packed, size  int64
	header        int64 // place of the local header in the file
	data, end     int64 // place of the data, and of what follows it
	link          bool
}

// directory is the end of an archive.
type directory struct {
	at, size int64 // of the central directory in the file
	count    int64
	shift    int64 // bytes before the archive, by which all places are off
	end      int64 // place of the end record
	after    int64 // of the end of the archive, with its comment
	several  bool  // more than one end record
}

// findEnd looks for the end record as CPython's zipfile does: the last one within reach of a comment.
func findEnd(f *inspect.File) (directory, bool) {
	from := max(f.Size-endSize-maxComment, 0)
	tail := f.Bytes(from, endSize+maxComment)
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || i+endSize > len(tail) {
		return directory{}, false
	}
	e := tail[i:]
	d := directory{end: from + int64(i), count: int64(binary.LittleEndian.Uint16(e[10:])), size: int64(binary.LittleEndian.Uint32(e[12:]))}
	d.after = d.end + endSize + int64(binary.LittleEndian.Uint16(e[20:]))
	claimed := int64(binary.LittleEndian.Uint32(e[16:]))
	stop := d.end
	if l := f.Bytes(d.end-locatorSize, locatorSize); len(l) == locatorSize && string(l[:4]) == "PK\x06\x07" {
		z := f.Bytes(d.end-locatorSize-end64Size, end64Size)
		if len(z) == end64Size && string(z[:4]) == "PK\x06\x06" {
			d.count, d.size = clamp(binary.LittleEndian.Uint64(z[32:])), clamp(binary.LittleEndian.Uint64(z[40:]))
			claimed, stop = clamp(binary.LittleEndian.Uint64(z[48:])), d.end-locatorSize-end64Size
		}
	}
	d.at = stop - d.size
	d.shift = d.at - claimed
	if d.at < 0 || d.shift < 0 {
		return d, false
	}
	for _, p := range indexAll(tail[:i], "PK\x05\x06") {
		// Another record counts when it is one: it names a disk 0 and a directory before it.
		if o := tail[p:]; len(o) >= endSize && le16(o[4:]) == 0 && int64(binary.LittleEndian.Uint32(o[12:])) <= from+int64(p) {
			d.several = true
		}
	}
	return d, true
}

func clamp(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }

func indexAll(b []byte, s string) []int {
	var at []int
	for from := 0; len(at) < 16; {
		i := bytes.Index(b[from:], []byte(s))
		if i < 0 {
			break
		}
		at = append(at, from+i)
		from += i + len(s)
	}
	return at
}

func matchZip(f *inspect.File) bool {
	h := f.Head()
	if bytes.HasPrefix(h, []byte("PK\x03\x04")) || bytes.HasPrefix(h, []byte("PK\x05\x06")) {
		return true
	}
	d, ok := findEnd(f)
	return ok && (d.count == 0 && d.size == 0 && d.after == f.Size || bytes.Equal(f.Bytes(d.at, 4), []byte("PK\x01\x02")))
}

func scanZip(f *inspect.File) {
	d, ok := findEnd(f)
	if !ok {
		f.Report(inspect.RuleBroken, inspect.Suspicious, -1, "the zip archive has no directory that fits; some readers take what comes before it")
		return
	}
	if d.several {
		f.Report(inspect.RuleZip, inspect.Suspicious, d.end, "the zip archive has more than one end record; readers choose different ones")
	}
	if d.after != f.Size {
		f.Report(inspect.RuleZip, inspect.Suspicious, d.end, "the comment of the zip archive does not end where the file ends")
	}
	if d.shift != 0 {
		f.Report(inspect.RuleZip, inspect.Suspicious, 0, "%d bytes lie before the zip archive", d.shift)
	}
	entries := readEntries(f, d)
	k := kindOf(entries)
	checkPlaces(f, d, entries)
	seen := map[uint64]bool{}
	for i := range entries {
		e := &entries[i]
		checkName(f, e.name, e.header)
		if key := hash(strings.ToLower(e.name)); seen[key] {
			f.Report(inspect.RuleDuplicate, inspect.Suspicious, e.header, "member %s is there twice, but for case", inspect.Quote(e.name))
		} else {
			seen[key] = true
		}
		if e.link {
			f.Report(inspect.RuleLink, inspect.Suspicious, e.header, "member %s is a symbolic link", inspect.Quote(e.name))
		}
		if strings.HasSuffix(e.name, "/") && e.packed == 0 {
			continue
		}
		scanEntry(f, e, k)
	}
}

// readEntries reads the central directory, as far as it goes, and each member's local header.
func readEntries(f *inspect.File, d directory) []entry {
	var entries []entry
	names := 0
	at := d.at
	buf := make([]byte, centralSize+3*math.MaxUint16)
	for int64(len(entries)) < d.count && at < d.at+d.size {
		if len(entries) >= maxEntries || names > maxNames {
			f.Report(inspect.RuleLimit, inspect.Unknown, at, "the zip archive has more members than are inspected")
			return entries
		}
		if n, _ := f.ReadAt(buf[:centralSize], at); n < centralSize || string(buf[:4]) != "PK\x01\x02" {
			f.Report(inspect.RuleBroken, inspect.Suspicious, at, "the directory of the zip archive breaks after %d of %d members", len(entries), d.count)
			return entries
		}
		nameLen, extraLen, commentLen := int(le16(buf[28:])), int(le16(buf[30:])), int(le16(buf[32:]))
		rest := buf[centralSize : centralSize+nameLen+extraLen]
		if n, _ := f.ReadAt(rest, at+centralSize); n < len(rest) {
			f.Report(inspect.RuleBroken, inspect.Suspicious, at, "the directory of the zip archive ends within a member")
			return entries
		}
		e := entry{name: string(rest[:nameLen]), flags: le16(buf[8:]), method: le16(buf[10:]), crc: binary.LittleEndian.Uint32(buf[16:])}
		e.packed, e.size = int64(binary.LittleEndian.Uint32(buf[20:])), int64(binary.LittleEndian.Uint32(buf[24:]))
		e.header = int64(binary.LittleEndian.Uint32(buf[42:]))
		e.link = binary.LittleEndian.Uint32(buf[38:])>>16&unixTypeMask == unixLink
		wide(rest[nameLen:], &e.size, &e.packed, &e.header)
		e.header += d.shift
		names += nameLen
		at += int64(centralSize + nameLen + extraLen + commentLen)
		checkLocal(f, &e)
		entries = append(entries, e)
	}
	if int64(len(entries)) != d.count || at != d.at+d.size {
		f.Report(inspect.RuleZip, inspect.Suspicious, d.end, "the directory of the zip archive holds %d members where its end says %d", len(entries), d.count)
	}
	return entries
}

// wide takes 64-bit values from the extra field of zip64, in place of those that do not fit.
func wide(extra []byte, values ...*int64) {
	for len(extra) >= 4 {
		id, n := le16(extra), int(le16(extra[2:]))
		if n > len(extra)-4 {
			return
		}
		body := extra[4 : 4+n]
		extra = extra[4+n:]
		if id != 1 {
			continue
		}
		for _, v := range values {
			if *v == math.MaxUint32 && len(body) >= 8 {
				*v, body = clamp(binary.LittleEndian.Uint64(body)), body[8:]
			}
		}
		return
	}
}

// checkLocal compares the local header with the directory, and finds the data behind it.
func checkLocal(f *inspect.File, e *entry) {
	h := f.Bytes(e.header, localSize)
	if len(h) < localSize || string(h[:4]) != "PK\x03\x04" {
		f.Report(inspect.RuleZip, inspect.Suspicious, e.header, "member %s has no local header", inspect.Quote(e.name))
		e.data, e.end = -1, -1
		return
	}
	nameLen, extraLen := int(le16(h[26:])), int(le16(h[28:]))
	e.data = e.header + localSize + int64(nameLen) + int64(extraLen)
	rest := f.Bytes(e.header+localSize, nameLen+extraLen)
	differ := func(what string) {
		f.Report(inspect.RuleZip, inspect.Suspicious, e.header, "member %s: the %s in its local header differs from the directory's", inspect.Quote(e.name), what)
	}
	if len(rest) < nameLen || string(rest[:nameLen]) != e.name {
		differ("name")
	}
	if le16(h[8:]) != e.method {
		differ("method")
	}
	if (le16(h[6:])^e.flags)&(flagCrypted|flagAfter) != 0 {
		differ("flags")
	}
	packed, size := int64(binary.LittleEndian.Uint32(h[18:])), int64(binary.LittleEndian.Uint32(h[22:]))
	if len(rest) >= nameLen {
		wide(rest[nameLen:], &size, &packed)
	}
	crc := binary.LittleEndian.Uint32(h[14:])
	after := le16(h[6:])&flagAfter != 0
	if !(after && crc == 0) && crc != e.crc {
		differ("sum")
	}
	if !(after && (packed == 0 || packed == math.MaxUint32)) && packed != e.packed || !(after && (size == 0 || size == math.MaxUint32)) && size != e.size {
		differ("size")
	}
	if e.packed > f.Size-e.data {
		f.Report(inspect.RuleBounds, inspect.Suspicious, e.header, "member %s leads beyond the end of the file", inspect.Quote(e.name))
		e.packed = max(f.Size-e.data, 0)
	}
	e.end = e.data + e.packed
}

// checkPlaces looks for members that overlap, and for bytes that belong to none.
func checkPlaces(f *inspect.File, d directory, entries []entry) {
	sorted := make([]*entry, 0, len(entries))
	for i := range entries {
		if entries[i].data >= 0 {
			sorted = append(sorted, &entries[i])
		}
	}
	slices.SortFunc(sorted, func(a, b *entry) int { return cmp.Compare(a.header, b.header) })
	at, descriptor := d.shift, false
	gap := func(to int64) {
		n := to - at
		switch {
		case n < 0:
			f.Report(inspect.RuleOverlap, inspect.Suspicious, to, "members of the zip archive overlap")
		case n == 0 || descriptor && (n == 12 || n == 16 || n == 20 || n == 24):
		default:
			f.Report(inspect.RuleZip, inspect.Suspicious, at, "%d bytes belong to no member of the zip archive", n)
		}
	}
	for _, e := range sorted {
		gap(e.header)
		at, descriptor = max(at, e.end), e.flags&flagAfter != 0
	}
	gap(d.at)
}

// scanEntry inspects one member and compares its sum.
func scanEntry(f *inspect.File, e *entry, k kind) {
	if e.data < 0 {
		return
	}
	if e.flags&flagCrypted != 0 {
		f.Report(inspect.RuleEncrypted, inspect.Suspicious, e.header, "member %s is marked as encrypted; readers that ignore the mark take it as it is", inspect.Quote(e.name))
	}
	sum := crc32.NewIEEE()
	size, ok := int64(-1), true
	role, raw := k.role(f, e.name)
	switch e.method {
	case methodStore:
		if _, err := io.Copy(sum, f.Section(e.data, e.packed)); err != nil {
			f.Unreadable(err)
			return
		}
		size = e.packed
		if !raw {
			f.Member(e.name, f.Section(e.data, e.packed), e.packed, role)
		}
	case methodFlate, methodBzip2:
		first := true
		size, ok = f.Unpack(e.name, func() (io.Reader, error) {
			var r io.Reader = flate.NewReader(f.Section(e.data, e.packed))
			if e.method == methodBzip2 {
				r = bzip2.NewReader(f.Section(e.data, e.packed))
			}
			if first {
				first = false
				r = io.TeeReader(r, sum)
			}
			return r, nil
		}, e.packed, role)
	default:
		f.Report(inspect.RuleContainer, inspect.Unknown, e.header, "member %s is compressed by method %d, which is not opened here", inspect.Quote(e.name), e.method)
		return
	}
	if !ok {
		return
	}
	if size != e.size {
		f.Report(inspect.RuleZip, inspect.Suspicious, e.header, "member %s has %d bytes where %d are claimed", inspect.Quote(e.name), size, e.size)
	}
	if sum.Sum32() != e.crc && e.flags&flagCrypted == 0 {
		f.Report(inspect.RuleZip, inspect.Suspicious, e.header, "member %s does not have the sum that is claimed; readers that do not check take it as it is", inspect.Quote(e.name))
	}
}
