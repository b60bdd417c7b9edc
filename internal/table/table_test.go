package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type row struct {
	ID    uint64   `parquet:"id,delta"`
	Time  int64    `parquet:"time,delta,timestamp(millisecond)"`
	Name  string   `parquet:"name,dict,zstd"`
	Hash  uint64   `parquet:"hash,optional,dict,zstd"`
	Plain uint64   `parquet:"plain,optional,zstd"`
	List  []uint64 `parquet:"list,optional,list,zstd"`
	Bytes []byte   `parquet:"bytes,optional,plain,zstd"`
	Float float64  `parquet:"float,optional,zstd"`
	Count int64    `parquet:"count,zstd"`
}

func testMark() Mark { return Mark{"test.format", "1"} }

func made(n int) []row {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]row, n)
	for i := range out {
		out[i] = row{ID: uint64(i) + 1, Time: int64(i) * 7, Name: fmt.Sprint("name-", r.IntN(max(n/3, 1))), Count: r.Int64()}
		if r.IntN(3) > 0 {
			out[i].Hash, out[i].Plain, out[i].Float = r.Uint64N(9)+1, r.Uint64(), r.Float64()
			out[i].List, out[i].Bytes = []uint64{r.Uint64(), r.Uint64()}[:r.IntN(3)], []byte{1, 2, byte(i)}
		}
	}
	return out
}

func encoded(t testing.TB, rows []row, group int64) []byte {
	s := NewSheet[row](testMark(), group)
	for range 2 { // the second has the memory of the first
		s.Reset()
		for _, r := range rows {
			next, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			*next = r
		}
		if _, err := s.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(data)
}

func opened(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Open("some/file", bytes.NewReader(data), int64(len(data)), testMark(), 4096, true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func all[T any](t testing.TB, f *File) (out []T) {
	r, err := NewRows[T](f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		next, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if next == nil {
			return out
		}
		out = append(out, *next)
	}
}

// plain makes nil of what is empty.
func plain(rows []row) []row {
	out := append([]row{}, rows...)
	for i := range out {
		out[i].List, out[i].Bytes = append([]uint64(nil), out[i].List...), append([]byte(nil), out[i].Bytes...)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		rows := made(n)
		f := opened(t, encoded(t, rows, 100))
		if got := all[row](t, f); !reflect.DeepEqual(plain(got), plain(rows)) {
			t.Errorf("%d rows are read as others", n)
		}
		if f.Rows() != int64(n) || f.Groups() != (n+99)/100 {
			t.Errorf("%d rows in %d groups, want %d", f.Rows(), f.Groups(), n)
		}
		names := map[string]uint32{}
		id := func(b []byte) uint32 {
			if _, ok := names[string(b)]; !ok {
				names[string(b)] = uint32(len(names))
			}
			return names[string(b)]
		}
		at := 0
		for i := range f.Groups() {
			c := f.Columns(i)
			counts, hash, free, ids := make([]int64, c.Rows()), make([]uint64, c.Rows()), make([]uint64, c.Rows()), make([]uint32, c.Rows())
			c.Numbers("count", counts)
			c.Hashes("hash", hash)
			c.Hashes("plain", free)
			c.Strings("name", ids, id)
			if c.Err() != nil {
				t.Fatal(c.Err())
			}
			for k := range counts {
				if r := rows[at]; counts[k] != r.Count || hash[k] != r.Hash || free[k] != r.Plain || ids[k] != names[r.Name] {
					t.Fatalf("row %d: columns say %d %d %d, want %+v", at, counts[k], hash[k], free[k], r)
				}
				at++
			}
		}
		if at != n {
			t.Errorf("%d rows in columns, of %d", at, n)
		}
	}
}

func TestSplice(t *testing.T) {
	a, b := made(200), made(333)
	var out bytes.Buffer
	w := NewWriter[row](&out, testMark(), 1000)
	if err := w.Append(a[:10]); err != nil {
		t.Fatal(err)
	}
	for _, rows := range [][]row{a, b} {
		if ok, err := w.Splice(opened(t, encoded(t, rows, 150))); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if err := errors.Join(w.Append(b[:5]), w.Close()); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(a[:10], a, b, b[:5])
	if got := all[row](t, opened(t, out.Bytes())); !reflect.DeepEqual(plain(got), plain(want)) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	type other struct {
		ID uint64 `parquet:"id,delta"`
	}
	o := NewWriter[other](io.Discard, testMark(), 1000)
	if ok, err := o.Splice(opened(t, encoded(t, a, 150))); ok || err != nil {
		t.Errorf("columns of another form: %t, %v", ok, err)
	}
}

// A reader may know other columns than the writer did.
func TestOtherColumns(t *testing.T) {
	type later struct {
		Hash uint64   `parquet:"hash,optional,dict,zstd"`
		ID   uint64   `parquet:"id,delta"`
		New  string   `parquet:"new,optional,zstd"`
		More []uint64 `parquet:"more,optional,list,zstd"`
	}
	rows := made(100)
	for i, r := range all[later](t, opened(t, encoded(t, rows, 100))) {
		if r.ID != rows[i].ID || r.Hash != rows[i].Hash || r.New != "" || len(r.More) > 0 {
			t.Fatalf("row %d is %+v of %+v", i, r, rows[i])
		}
	}
}

func TestMark(t *testing.T) {
	data := encoded(t, made(3), 100)
	if _, err := Open("x", bytes.NewReader(data), int64(len(data)), Mark{"test.format", "2"}, 4096, true); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	var other bytes.Buffer
	if err := parquet.Write(&other, made(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("x", bytes.NewReader(other.Bytes()), int64(other.Len()), testMark(), 4096, true); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

type unwilling struct{ io.ReaderAt }

var errDisk = errors.New("the disk is gone")

func (unwilling) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// What a file is read from can fail too, which is no damage.
func TestReaderFails(t *testing.T) {
	if _, err := Open("x", unwilling{}, 100, testMark(), 4096, true); !errors.Is(err, errDisk) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// exercise reads all that can be read of a file.
func exercise(data []byte, whole bool) error {
	f, err := Open("some/file", bytes.NewReader(data), int64(len(data)), testMark(), 4096, whole)
	if err != nil {
		return err
	}
	for i := range f.Groups() {
		c := f.Columns(i)
		if c.Rows() > 1<<16 {
			continue // plausible, and more than this test has time for
		}
		c.Numbers("count", make([]int64, c.Rows()))
		c.Hashes("hash", make([]uint64, c.Rows()))
		c.Strings("name", make([]uint32, c.Rows()), func([]byte) uint32 { return 0 })
		if c.Err() != nil {
			err = c.Err()
		}
	}
	r, failed := NewRows[row](f)
	if failed != nil {
		return failed
	}
	defer r.Close()
	for n := 0; n < 1<<16; n++ {
		next, failed := r.Next()
		if failed != nil {
			return failed
		}
		if next == nil {
			break
		}
	}
	return err
}

// FuzzFile reads damaged files: the error names the file, and there is no panic.
func FuzzFile(f *testing.F) {
	good := encoded(f, made(20), 10)
	f.Add(good, uint32(0), byte(0), uint32(len(good)))
	for i := range 40 {
		f.Add(good, uint32(i*len(good)/40), byte(1<<(i%8)), uint32(len(good)))
	}
	f.Add(encoded(f, nil, 10), uint32(0), byte(0), uint32(1<<20))
	f.Fuzz(func(t *testing.T, data []byte, at uint32, flip byte, upto uint32) {
		data = bytes.Clone(data[:min(len(data), int(upto))])
		if len(data) > 0 {
			data[int(at)%len(data)] ^= flip
		}
		if err := exercise(data, flip&1 == 0); err != nil && !strings.Contains(err.Error(), "some/file") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

// No bit can change unnoticed, and files larger than a few blocks are no different.
func TestEveryByte(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 7
	}
	for n, step := range map[int]int{20: step, 40_000: 40_003 * step} {
		good := encoded(t, made(n), 10_000)
		for _, whole := range []bool{true, false} {
			if err := exercise(good, whole); err != nil {
				t.Fatal(err)
			}
		}
		for at := 0; at < len(good); at += step {
			for _, flip := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(good)
				bad[at] ^= flip
				if err := exercise(bad, at%2 == 0); err == nil || !strings.Contains(err.Error(), "some/file") {
					t.Errorf("byte %d of %d: %v", at, len(good), err)
				}
			}
		}
	}
}
