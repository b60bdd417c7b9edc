// Package digest hashes Go values by what they hold, so that two values can be compared without keeping the older one.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"reflect"
	"time"
)

// Of gives the first 16 bytes, in hexadecimal, of the SHA-256 of all that v holds: exported fields, in order, with lengths
// before texts and lists. Nil and empty lists count as equal; times count in milliseconds. Maps, channels and functions
// panic.
func Of(v any) string {
	sum := walk(v)
	return hex.EncodeToString(sum[:16])
}

// Of64 gives the first 8 bytes as a number.
func Of64(v any) int64 {
	sum := walk(v)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func walk(v any) (sum [sha256.Size]byte) {
	w := walker{h: sha256.New(), buf: make([]byte, 0, 4096)}
	w.value(reflect.ValueOf(v))
	w.h.Write(w.buf)
	w.h.Sum(sum[:0])
	return sum
}

type walker struct {
	h   hash.Hash
	buf []byte
}

func (w *walker) number(n uint64) {
	if len(w.buf) > 4000 {
		w.h.Write(w.buf)
		w.buf = w.buf[:0]
	}
	w.buf = binary.BigEndian.AppendUint64(w.buf, n)
}

func (w *walker) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		w.number(uint64(v.Len()))
		w.h.Write(append(w.buf, v.String()...))
		w.buf = w.buf[:0]
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		w.number(math.Float64bits(v.Float()))
	case reflect.Bool:
		if v.Bool() {
			w.number(1)
		} else {
			w.number(0)
		}
	case reflect.Slice, reflect.Array:
		w.number(uint64(v.Len()))
		for i := range v.Len() {
			w.value(v.Index(i))
		}
	case reflect.Pointer:
		if v.IsNil() {
			w.number(0)
			return
		}
		w.number(1)
		w.value(v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			w.number(uint64(t.UnixMilli()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				w.value(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("digest of a %s", v.Kind()))
	}
}
