package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	want := []Content{{"a.weight", "F32", []int64{2, 3}, make([]byte, 24)}, {"scalar", "BF16", []int64{}, []byte{1, 2}}, {"none", "F16", []int64{0, 4}, []byte{}}}
	if err := Write(&b, map[string]string{"format": "pt"}, want); err != nil {
		t.Fatal(err)
	}
	f, err := Read(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "pt" || len(f.Tensors) != 3 {
		t.Fatalf("read %+v", f)
	}
	for _, x := range f.Tensors {
		for _, w := range want {
			if w.Name == x.Name && (w.DType != x.DType || !reflect.DeepEqual(w.Shape, x.Shape) || !bytes.Equal(w.Data, b.Bytes()[x.Offset:x.Offset+x.Size])) {
				t.Errorf("%s: read %+v", w.Name, x)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	entry := func(dtype, shape string, from, to int) string {
		return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, dtype, shape, from, to)
	}
	a := entry("F32", "[1]", 0, 4)
	for name, b := range map[string][]byte{
		"empty":            nil,
		"header bomb":      append(binary.LittleEndian.AppendUint64(nil, 1<<60), "{}"...),
		"header past end":  append(binary.LittleEndian.AppendUint64(nil, 100), "{}"...),
		"no object":        file(`[]`, 0),
		"duplicate name":   file(`{"a":`+a+`,"a":`+a+`}`, 4),
		"duplicate field":  file(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
		"overlap":          file(`{"a":`+a+`,"b":`+a+`}`, 4),
		"hole":             file(`{"a":`+a+`,"b":`+entry("F32", "[1]", 8, 12)+`}`, 12),
		"tail":             file(`{"a":`+a+`}`, 5),
		"short data":       file(`{"a":`+a+`}`, 3),
		"wrong size":       file(`{"a":`+entry("F32", "[2]", 0, 4)+`}`, 4),
		"negative":         file(`{"a":`+entry("F32", "[-1]", 0, 4)+`}`, 4),
		"overflow":         file(`{"a":`+entry("F32", "[4294967296,4294967296,4]", 0, 4)+`}`, 4),
		"unknown type":     file(`{"a":`+entry("F7", "[1]", 0, 4)+`}`, 4),
		"no shape":         file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4),
		"unknown field":    file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4),
		"metadata numbers": file(`{"__metadata__":{"a":1}}`, 0),
		"after the object": file(`{}{}`, 0),
		"invalid UTF-8":    file("{\"\xff\":"+a+"}", 4),
	} {
		if _, err := Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := Read(strings.NewReader(strings.Repeat(" ", 12)), 1<<40); err == nil {
		t.Error("a file that is shorter than it says is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Add(file(`{"__metadata__":{"a":"b"}}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, x := range h.Tensors {
			if x.Offset < 8 || x.Size < 0 || x.Offset+x.Size > int64(len(b)) {
				t.Fatalf("tensor %+v lies outside of %d bytes", x, len(b))
			}
		}
	})
}
