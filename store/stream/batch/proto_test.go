package batch

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// flat is t as text, in which NaN equals NaN and an empty list equals none.
func flat(t *taken) string { return fmt.Sprintf("%+v", *t) }

// schema reads batch.proto, as far as it uses the language.
func schema(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	text, err := os.ReadFile("batch.proto")
	if err != nil {
		t.Fatal(err)
	}
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("batch.proto"), Syntax: proto.String("proto3"), Package: proto.String("palladium.stream.v1")}
	kinds := map[string]descriptorpb.FieldDescriptorProto_Type{}
	for n, name := range descriptorpb.FieldDescriptorProto_Type_name {
		kinds[name] = descriptorpb.FieldDescriptorProto_Type(n)
	}
	upper := func(s string) string {
		b := []byte(s)
		for i, c := range b {
			if c >= 'a' && c <= 'z' {
				b[i] = c - 32
			}
		}
		return string(b)
	}
	for _, m := range regexp.MustCompile(`(?s)message (\w+) \{(.*?)\n\}`).FindAllStringSubmatch(string(text), -1) {
		msg := &descriptorpb.DescriptorProto{Name: proto.String(m[1])}
		for _, f := range regexp.MustCompile(`(?m)^  (repeated )?(\w+) (\w+) = (\d+);`).FindAllStringSubmatch(m[2], -1) {
			n, _ := strconv.Atoi(f[4])
			field := &descriptorpb.FieldDescriptorProto{Name: proto.String(f[3]), Number: proto.Int32(int32(n)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
			if f[1] != "" {
				field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			}
			if kind, ok := kinds["TYPE_"+upper(f[2])]; ok {
				field.Type = kind.Enum()
			} else {
				field.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
				field.TypeName = proto.String(".palladium.stream.v1." + f[2])
			}
			msg.Field = append(msg.Field, field)
		}
		file.MessageType = append(file.MessageType, msg)
	}
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The schema for others says what the code writes: nothing in a full batch is unknown to it, every field of it is set, and
// what it reads and writes again is read here for the same.
func TestSchema(t *testing.T) {
	h, want := example()
	msg := write(h, &want)
	m := dynamicpb.NewMessage(schema(t).Messages().ByName("Batch"))
	if err := proto.Unmarshal(msg[2:], m); err != nil {
		t.Fatal(err)
	}
	var check func(m protoreflect.Message, all bool)
	check = func(m protoreflect.Message, all bool) {
		if len(m.GetUnknown()) > 0 {
			t.Errorf("%s has unknown fields", m.Descriptor().Name())
		}
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if all && !m.Has(f) {
				t.Errorf("%s is not set", f.FullName())
			}
			if f.Message() != nil {
				for j := range m.Get(f).List().Len() {
					check(m.Get(f).List().Get(j).Message(), j == 0)
				}
			}
		}
	}
	check(m, true)
	back, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	var got taken
	if _, err := r.Read(append([]byte{Format, Plain}, back...), &got); err != nil {
		t.Fatal(err)
	}
	same(t, "through the schema", &got, &want)
}
