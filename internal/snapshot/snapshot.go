// Package snapshot writes Go values to a stream as they lie in memory, unexported fields included, and reads them
// back, so that an engine can keep its state without a second description of it that could fall behind.
//
// Values without pointers are written as raw bytes, a whole slice at a time; the rest is walked. A snapshot is read
// by a program whose types have the same Fingerprint, on a machine of the same byte order. There is no checksum: the
// caller has one, and it reads what a damaged stream gave without harm: a Read of anything ends with an error or with
// a value of the right shape, and takes no more memory than about twice what the stream holds.
package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// ErrDamaged is wrapped by Read's errors about what the stream holds, a stream that ends early apart.
var ErrDamaged = errors.New("damaged snapshot")

// errType ends an error that names a field of the wrong type.
var errType = errors.New("a value of this type cannot be kept: leave it out")

const (
	step     = 4 << 20 // bytes of a slice that are made room for before they were read
	maxDepth = 32
)

// walker knows which types are written raw.
type walker struct {
	skip  []string
	plain map[reflect.Type]bool
}

func newWalker(skip []string) walker { return walker{skip, map[reflect.Type]bool{}} }

// skipped reports whether the field is left out; names have the form Type.field.
func (k *walker) skipped(t reflect.Type, f *reflect.StructField) bool {
	return slices.Contains(k.skip, t.Name()+"."+f.Name)
}

// raw reports whether values of type t hold no pointer and are kept whole.
func (k *walker) raw(t reflect.Type) bool {
	known, ok := k.plain[t]
	if ok {
		return known
	}
	is := false
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		is = true
	case reflect.Array:
		is = k.raw(t.Elem())
	case reflect.Struct:
		is = true
		for i := range t.NumField() {
			f := t.Field(i)
			is = is && k.raw(f.Type) && !k.skipped(t, &f)
		}
	}
	k.plain[t] = is
	return is
}

func bytesAt(p unsafe.Pointer, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

func isTime(t reflect.Type) bool { return t == reflect.TypeFor[time.Time]() }

// Fingerprint identifies the layout of the type that v points to, with all that it holds. skip is as for Write.
func Fingerprint(v any, skip ...string) string {
	k := newWalker(skip)
	var b strings.Builder
	one := uint16(1)
	fmt.Fprintf(&b, "%d ", bytesAt(unsafe.Pointer(&one), 1)[0]) // byte order
	k.describe(&b, reflect.TypeOf(v).Elem(), 0)
	return b.String()
}

func (k *walker) describe(b *strings.Builder, t reflect.Type, depth int) {
	if depth > maxDepth {
		b.WriteString("…")
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		fmt.Fprintf(b, "%s{", t.Name())
		for i := range t.NumField() {
			f := t.Field(i)
			if isTime(t) || k.skipped(t, &f) {
				continue
			}
			fmt.Fprintf(b, "%s@%d ", f.Name, f.Offset)
			k.describe(b, f.Type, depth+1)
		}
		fmt.Fprintf(b, "}%d", t.Size())
	case reflect.Map:
		b.WriteString("map[")
		k.describe(b, t.Key(), depth+1)
		b.WriteString("]")
		k.describe(b, t.Elem(), depth+1)
	case reflect.Slice, reflect.Pointer, reflect.Array:
		b.WriteString(t.Kind().String())
		if t.Kind() == reflect.Array {
			fmt.Fprintf(b, "%d ", t.Len())
		}
		k.describe(b, t.Elem(), depth+1)
	default:
		fmt.Fprintf(b, "%s%d ", t.Kind(), t.Size())
	}
}

// Write writes the value that v points to. skip names fields that are left out, as Type.field. Two pointers to one
// thing become two things. It fails with w's error, and where the type holds what cannot be kept, a function, a channel
// or an interface.
func Write(w io.Writer, v any, skip ...string) error {
	e := encoder{walker: newWalker(skip), w: bufio.NewWriterSize(w, 64<<10)}
	p := reflect.ValueOf(v)
	if err := e.value(p.Type().Elem(), p.UnsafePointer(), 0); err != nil {
		return err
	}
	return e.w.Flush()
}

type encoder struct {
	walker
	w   *bufio.Writer
	buf [binary.MaxVarintLen64]byte
}

func (e *encoder) number(n uint64) error {
	_, err := e.w.Write(e.buf[:binary.PutUvarint(e.buf[:], n)])
	return err
}

func (e *encoder) value(t reflect.Type, p unsafe.Pointer, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("keep %v: nested too deep", t)
	}
	if e.raw(t) {
		_, err := e.w.Write(bytesAt(p, t.Size()))
		return err
	}
	switch t.Kind() {
	case reflect.Struct:
		if isTime(t) {
			at := (*time.Time)(p)
			s := [2]int64{at.Unix(), int64(at.Nanosecond())}
			return e.value(reflect.TypeOf(s), unsafe.Pointer(&s), depth+1)
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if e.skipped(t, &f) {
				continue
			}
			if err := e.value(f.Type, unsafe.Add(p, f.Offset), depth+1); errors.Is(err, errType) {
				return fmt.Errorf("%s.%w", f.Name, err)
			} else if err != nil {
				return err
			}
		}
		return nil
	case reflect.Array:
		return e.each(t.Elem(), p, t.Len(), depth)
	case reflect.Slice:
		return e.slice(t, p, depth)
	case reflect.String:
		s := *(*string)(p)
		if err := e.number(uint64(len(s)) + 1); err != nil {
			return err
		}
		_, err := e.w.WriteString(s)
		return err
	case reflect.Pointer:
		q := *(*unsafe.Pointer)(p)
		if q == nil {
			return e.number(0)
		}
		if err := e.number(1); err != nil {
			return err
		}
		return e.value(t.Elem(), q, depth+1)
	case reflect.Map:
		return e.mapping(t, p, depth)
	}
	return fmt.Errorf("%v: %w", t, errType)
}

func (e *encoder) slice(t reflect.Type, p unsafe.Pointer, depth int) error {
	s := reflect.NewAt(t, p).Elem()
	if s.IsNil() {
		return e.number(0)
	}
	if err := e.number(uint64(s.Len()) + 1); err != nil {
		return err
	}
	first := s.UnsafePointer()
	if e.raw(t.Elem()) {
		_, err := e.w.Write(bytesAt(first, uintptr(s.Len())*t.Elem().Size()))
		return err
	}
	return e.each(t.Elem(), first, s.Len(), depth)
}

func (e *encoder) each(t reflect.Type, p unsafe.Pointer, n, depth int) error {
	for i := range n {
		if err := e.value(t, unsafe.Add(p, uintptr(i)*t.Size()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) mapping(t reflect.Type, p unsafe.Pointer, depth int) error {
	m := reflect.NewAt(t, p).Elem()
	if m.IsNil() {
		return e.number(0)
	}
	if err := e.number(uint64(m.Len()) + 1); err != nil {
		return err
	}
	key, elem := reflect.New(t.Key()), reflect.New(t.Elem())
	for it := m.MapRange(); it.Next(); {
		key.Elem().SetIterKey(it)
		elem.Elem().SetIterValue(it)
		if err := e.value(t.Key(), key.UnsafePointer(), depth+1); err != nil {
			return err
		}
		if err := e.value(t.Elem(), elem.UnsafePointer(), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what Write wrote into the value that v points to, and nothing beyond it when r is an io.ByteReader. What
// v holds before stays where it was skipped; a pointer that is set is read into; a slice of the right length is
// reused. After an error the value is of no use.
func Read(r io.Reader, v any, skip ...string) error {
	b, ok := r.(byteReader)
	if !ok {
		b = bufio.NewReaderSize(r, 64<<10)
	}
	d := decoder{walker: newWalker(skip), r: b}
	p := reflect.ValueOf(v)
	err := d.value(p.Type().Elem(), p.UnsafePointer(), 0)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

type byteReader interface {
	io.Reader
	io.ByteReader
}

type decoder struct {
	walker
	r byteReader
}

// length reads a count of things.
func (d *decoder) length() (int, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt32*64 {
		return 0, fmt.Errorf("%w: a length of %d", ErrDamaged, n)
	}
	return int(n), nil
}

func (d *decoder) fill(p unsafe.Pointer, n uintptr) error {
	_, err := io.ReadFull(d.r, bytesAt(p, n))
	return err
}

func (d *decoder) value(t reflect.Type, p unsafe.Pointer, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("restore %v: nested too deep", t)
	}
	if d.raw(t) {
		return d.fill(p, t.Size())
	}
	switch t.Kind() {
	case reflect.Struct:
		if isTime(t) {
			var s [2]int64
			if err := d.fill(unsafe.Pointer(&s), unsafe.Sizeof(s)); err != nil {
				return err
			}
			*(*time.Time)(p) = time.Unix(s[0], s[1]).UTC()
			return nil
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if d.skipped(t, &f) {
				continue
			}
			if err := d.value(f.Type, unsafe.Add(p, f.Offset), depth+1); err != nil {
				return err
			}
		}
		return nil
	case reflect.Array:
		for i := range t.Len() {
			if err := d.value(t.Elem(), unsafe.Add(p, uintptr(i)*t.Elem().Size()), depth+1); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		return d.slice(t, p, depth)
	case reflect.String:
		return d.text((*string)(p))
	case reflect.Pointer:
		return d.pointer(t, p, depth)
	case reflect.Map:
		return d.mapping(t, p, depth)
	}
	return fmt.Errorf("%v: %w", t, errType)
}

func (d *decoder) text(s *string) error {
	var b []byte
	if err := d.slice(reflect.TypeOf(b), unsafe.Pointer(&b), 0); err != nil {
		return err
	}
	*s = unsafe.String(unsafe.SliceData(b), len(b))
	return nil
}

func (d *decoder) pointer(t reflect.Type, p unsafe.Pointer, depth int) error {
	q := reflect.NewAt(t, p).Elem()
	n, err := d.length()
	switch {
	case err != nil:
		return err
	case n == 0:
		q.SetZero()
		return nil
	case n > 1:
		return fmt.Errorf("%w: pointer", ErrDamaged)
	}
	if q.IsNil() {
		q.Set(reflect.New(t.Elem()))
	}
	return d.value(t.Elem(), q.UnsafePointer(), depth+1)
}

// slice reads a slice step by step, so that a false length cannot ask for much more memory than there is to read.
func (d *decoder) slice(t reflect.Type, p unsafe.Pointer, depth int) error {
	s := reflect.NewAt(t, p).Elem()
	n, err := d.length()
	if err != nil {
		return err
	}
	if n == 0 {
		s.SetZero()
		return nil
	}
	n--
	elem := t.Elem()
	if s.IsNil() || s.Len() != n {
		s.Set(reflect.MakeSlice(t, 0, min(n, max(step/max(int(elem.Size()), 1), 1))))
	}
	for have := 0; have < n; {
		if have == s.Cap() {
			s.Grow(min(n-have, have))
		}
		upto := min(n, s.Cap())
		s.SetLen(upto)
		first := s.UnsafePointer()
		if d.raw(elem) {
			if err := d.fill(unsafe.Add(first, uintptr(have)*elem.Size()), uintptr(upto-have)*elem.Size()); err != nil {
				return err
			}
			have = upto
		}
		for ; have < upto; have++ {
			if err := d.value(elem, unsafe.Add(first, uintptr(have)*elem.Size()), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *decoder) mapping(t reflect.Type, p unsafe.Pointer, depth int) error {
	m := reflect.NewAt(t, p).Elem()
	n, err := d.length()
	if err != nil {
		return err
	}
	if n == 0 {
		m.SetZero()
		return nil
	}
	m.Set(reflect.MakeMapWithSize(t, min(n-1, step/64)))
	for range n - 1 {
		key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := d.value(t.Key(), key.Addr().UnsafePointer(), depth+1); err != nil {
			return err
		}
		if err := d.value(t.Elem(), elem.Addr().UnsafePointer(), depth+1); err != nil {
			return err
		}
		m.SetMapIndex(key, elem)
	}
	return nil
}
