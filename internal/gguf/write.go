package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// Content is a tensor to be written.
type Content struct {
	Name  string
	DType string
	Shape []int64 // outermost first
	Data  []byte
}

// Write writes a file of version 3 with the default alignment. A value of metadata is a uint32, uint64, int32, float32,
// bool, string or []string.
func Write(w io.Writer, metadata []Pair, tensors []Content) error {
	const align = 32
	b := []byte("GGUF\x03\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, uint64(len(tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(metadata)))
	text := func(s string) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	u32 := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	for _, kv := range metadata {
		text(kv.Key)
		switch v := kv.Value.(type) {
		case uint32:
			u32(uint32(Uint32))
			u32(v)
		case uint64:
			u32(uint32(Uint64))
			b = binary.LittleEndian.AppendUint64(b, v)
		case int32:
			u32(uint32(Int32))
			u32(uint32(v))
		case float32:
			u32(uint32(Float32))
			u32(math.Float32bits(v))
		case bool:
			u32(uint32(Bool))
			b = append(b, map[bool]byte{true: 1}[v])
		case string:
			u32(uint32(String))
			text(v)
		case []string:
			u32(uint32(ArrayKind))
			u32(uint32(String))
			b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
			for _, s := range v {
				text(s)
			}
		default:
			return fmt.Errorf("write the metadata: %s is a %T, which is not written", kv.Key, kv.Value)
		}
	}
	at := int64(0)
	for i := range tensors {
		t := &tensors[i]
		e, ok := elementByName(t.DType)
		if !ok {
			return fmt.Errorf("write the list of tensors: the type %q of %q is not known", t.DType, t.Name)
		}
		text(t.Name)
		u32(uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			b = binary.LittleEndian.AppendUint64(b, uint64(d))
		}
		u32(e.number)
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
		at += (int64(len(t.Data)) + align - 1) / align * align
	}
	b = append(b, bytes.Repeat([]byte{0}, (align-len(b)%align)%align)...)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	for i := range tensors {
		d := tensors[i].Data
		if _, err := w.Write(d); err != nil {
			return fmt.Errorf("write tensor %q: %w", tensors[i].Name, err)
		}
		if _, err := w.Write(make([]byte, (align-len(d)%align)%align)); err != nil {
			return fmt.Errorf("write tensor %q: %w", tensors[i].Name, err)
		}
	}
	return nil
}
