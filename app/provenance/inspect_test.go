package provenance

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/weights/inspect"
)

const (
	systemPickle = "\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
	cleanPickle  = "\x80\x02}X\x01\x00\x00\x00aK\x01s."
	torchPickle  = "\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
)

func look(t testing.TB, name string, data []byte) inspect.Report {
	t.Helper()
	in, err := Inspector()
	if err != nil {
		t.Fatal(err)
	}
	r, err := in.Inspect(t.Context(), name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type member struct{ name, data string }

func zipOf(members ...member) string { return zipWith(zip.Store, members...) }

func zipWith(method uint16, members ...member) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: method}
		if method == zip.Store { // as PyTorch writes it: sizes before the data
			h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE([]byte(m.data)), uint64(len(m.data)), uint64(len(m.data))
			f, _ := w.CreateRaw(h)
			fmt.Fprint(f, m.data)
			continue
		}
		f, _ := w.CreateHeader(h)
		fmt.Fprint(f, m.data)
	}
	w.Close()
	return b.String()
}

func torchZip(pickle string, more ...member) string {
	return zipOf(append([]member{{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", strings.Repeat("\x00\x01\x02\xff", 4)}, {"m/version", "3\n"}}, more...)...)
}

func tarOf(members ...member) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.data))}
		if link, ok := strings.CutPrefix(m.data, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, link, 0
			_ = w.WriteHeader(h)
			continue
		}
		_ = w.WriteHeader(h)
		fmt.Fprint(w, m.data)
	}
	w.Close()
	return b.String()
}

func gz(data string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, data)
	w.Close()
	return b.String()
}

func replace(s, old, with string) string {
	if !strings.Contains(s, old) {
		panic("the sample has no " + old)
	}
	return strings.Replace(s, old, with, 1)
}

func u16(v int) string   { return string(binary.LittleEndian.AppendUint16(nil, uint16(v))) }
func u32(v int) string   { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }
func u64(v int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(v))) }

func safetensors(header string, data int) string {
	return u64(int64(len(header))) + header + strings.Repeat("\x01", data)
}

func npy(header, data string) string {
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	return "\x93NUMPY\x01\x00" + u16(len(header)) + header + data
}

func gstr(s string) string { return u64(int64(len(s))) + s }

// gguf is a file with one text value and one tensor of 32 floats.
func gguf(key, value string, offset int64, data int) string {
	s := "GGUF" + u32(3) + u64(1) + u64(1) + gstr(key) + u32(8) + gstr(value) + gstr("t") + u32(1) + u64(32) + u32(0) + u64(offset)
	return s + strings.Repeat("\x00", (32-len(s)%32)%32) + strings.Repeat("\x01", data)
}

// pb writes a sized field of a protocol buffer.
func pb(number int, content ...string) string {
	s := strings.Join(content, "")
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return string(binary.AppendUvarint(b, uint64(len(s)))) + s
}

func onnx(node, tensor string) string {
	return "\x08\x08" + pb(2, "maker") + pb(7, pb(1, node), pb(5, tensor)) + pb(8, pb(1, ""), "\x10\x0d")
}

func external(path string) string { return pb(13, pb(1, "location"), pb(2, path)) }

func savedModel(op string) string {
	return "\x08\x01" + pb(2, pb(1, "tags"), pb(2, pb(1, pb(1, "n"), pb(2, "Placeholder")), pb(2, pb(1, pb(1, "sig"), pb(3, pb(1, "m"), pb(2, op))))))
}

func hdf5(config string) string {
	return "\x89HDF\r\n\x1a\n" + strings.Repeat("\x00\x01{\"\xff", 200) + "model_config\x00\x00" + config + strings.Repeat("\x00", 400)
}

const kerasDense = `{"class_name": "Sequential", "config": {"layers": [{"module": "keras.layers", "class_name": "Dense", "config": {"units": 4, "activation": "relu", "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": null}, "registered_name": null}}}]}}`

func kerasZip(config string) string {
	return zipOf(member{"metadata.json", `{"keras_version": "3.5.0"}`}, member{"config.json", config}, member{"model.weights.h5", hdf5("")})
}

type sample struct {
	name, data string
	want       inspect.Verdict
	rule       inspect.Rule
}

// hostileSamples holds one file for each class of attack that is known, made here.
func hostileSamples() map[string]sample {
	const bad, odd, unknown = inspect.Hostile, inspect.Suspicious, inspect.Unknown
	good := torchZip(torchPickle)
	central := strings.LastIndex(good, "PK\x01\x02")
	two := zipOf(member{"a.txt", "aaaa"}, member{"b.txt", "bbbb"})
	tensor := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`
	return map[string]sample{
		"torch zip":                            {"m.pt", torchZip(systemPickle), bad, inspect.RuleGlobal},
		"torch zip under another name":         {"model.safetensors", torchZip(systemPickle), bad, inspect.RuleName},
		"torch zip, deflated":                  {"m.pt", zipWith(zip.Deflate, member{"m/data.pkl", systemPickle}), bad, inspect.RuleGlobal},
		"torch zip, pickle under another name": {"m.pt", torchZip(torchPickle, member{"m/readme.txt", systemPickle}), bad, inspect.RuleGlobal},
		"torch in 7-Zip":                       {"m.bin", "7z\xbc\xaf\x27\x1c" + strings.Repeat("x", 60), odd, inspect.RuleContainer},
		"torch in RAR":                         {"m.pt", "Rar!\x1a\x07\x01\x00" + strings.Repeat("x", 60), odd, inspect.RuleContainer},
		"7-Zip":                                {"m.7z", "7z\xbc\xaf\x27\x1c" + strings.Repeat("x", 60), unknown, inspect.RuleContainer},
		"zip in zip":                           {"m.zip", zipOf(member{"i.zip", zipOf(member{"x", systemPickle})}), bad, inspect.RuleGlobal},
		"pickle in tar in gzip":                {"m.tgz", gz(tarOf(member{"x.bin", systemPickle})), bad, inspect.RuleGlobal},
		"pickle in gzip":                       {"m.joblib", gz(systemPickle), bad, inspect.RuleGlobal},
		"nested beyond the bound":              {"m.gz", gz(gz(gz(gz(gz(gz(gz(gz(systemPickle)))))))), odd, inspect.RuleLimit},
		"bomb":                                 {"m.gz", gz(gz(strings.Repeat("\x00", 80<<20))), odd, inspect.RuleBomb},
		"pickle before a zip":                  {"m.pt", systemPickle + good, bad, inspect.RulePolyglot},
		"bytes before a zip":                   {"m.pt", "garbage" + good, odd, inspect.RuleZip},
		"bytes after a zip":                    {"m.pt", good + "garbage", odd, inspect.RuleZip},
		"two archives":                         {"m.pt", torchZip(systemPickle) + good, odd, inspect.RuleZip},
		"wrong sum":                            {"m.pt", good[:central+16] + "\x00\x00\x00\x00" + good[central+20:], odd, inspect.RuleZip},
		"wrong sum in both headers":            {"m.zip", strings.ReplaceAll(two, u32(int(crc32.ChecksumIEEE([]byte("aaaa")))), "\x01\x02\x03\x04"), odd, inspect.RuleZip},
		"encryption that is none":              {"m.pt", good[:central+8] + "\x01" + good[central+9:], odd, inspect.RuleEncrypted},
		"hostile behind false encryption":      {"m.zip", strings.ReplaceAll(strings.ReplaceAll(zipOf(member{"a", systemPickle}), "PK\x01\x02\x14\x03\x14\x00\x00", "PK\x01\x02\x14\x03\x14\x00\x01"), "PK\x03\x04\x14\x00\x00", "PK\x03\x04\x14\x00\x01"), bad, inspect.RuleGlobal},
		"names that differ":                    {"m.zip", replace(two, "a.txt", "c.txt"), odd, inspect.RuleZip},
		"a name twice":                         {"m.zip", strings.ReplaceAll(two, "b.txt", "a.txt"), odd, inspect.RuleDuplicate},
		"a name twice but for case":            {"m.zip", strings.ReplaceAll(two, "b.txt", "A.txt"), odd, inspect.RuleDuplicate},
		"member out of the folder":             {"m.zip", zipOf(member{"../../x.txt", "text"}), bad, inspect.RulePath},
		"member with an absolute path":         {"m.zip", zipOf(member{"/etc/x.txt", "text"}), bad, inspect.RulePath},
		"zip without a directory":              {"m.pt", good[:central], odd, inspect.RuleBroken},
		"bytes between members":                {"m.zip", gapZip(), odd, inspect.RuleZip},
		"zip entry of 2^60 bytes":              {"m.zip", hugeZip(), odd, inspect.RuleBounds},
		"tar out of the folder":                {"m.tar", tarOf(member{"../x.txt", "text"}), bad, inspect.RulePath},
		"tar with a link":                      {"m.tar", tarOf(member{"x", "-> /etc/passwd"}), bad, inspect.RuleLink},
		"old tar of PyTorch":                   {"m.pt", tarOf(member{"sys_info", cleanPickle}, member{"pickle", systemPickle}), bad, inspect.RuleGlobal},
		"bytes after a tar":                    {"m.tar", tarOf(member{"x.txt", "text"}) + "garbage", odd, inspect.RuleTail},
		"TorchScript that saves":               {"m.pt", torchZip(torchPickle, member{"m/constants.pkl", "\x80\x02)."}, member{"m/code/__torch__/m.py", "def forward(self, x: Tensor) -> Tensor:\n  ops.aten.save(x, \"/tmp/x\")\n"}), bad, inspect.RuleCode},
		"TorchScript with a library":           {"m.pt", torchZip(torchPickle, member{"m/constants.pkl", "\x80\x02)."}, member{"m/code/__torch__/m.py", "def forward(self, x: Tensor) -> Tensor:\n  return ops.mine.run(x)\n"}), odd, inspect.RuleCode},
		"TorchScript pickle":                   {"m.pt", torchZip(systemPickle, member{"m/constants.pkl", "\x80\x02)."}), bad, inspect.RuleGlobal},
		"Keras Lambda in HDF5":                 {"m.h5", hdf5(replace(kerasDense, "Dense", "Lambda")), bad, inspect.RuleLambda},
		"Keras Lambda in escapes":              {"m.h5", hdf5(strings.Replace(replace(kerasDense, "Dense", `\u004cambda`), `"class_name": "\u`, `"\u0063lass_name" : "\u`, 1)), bad, inspect.RuleLambda},
		"Keras Lambda behind another object":   {"m.h5", hdf5(`{"class_name":"a"}` + replace(kerasDense, "Dense", "Lambda")), bad, inspect.RuleLambda},
		"Keras Lambda, broken":                 {"m.h5", hdf5(strings.TrimRight(replace(kerasDense, "Dense", "Lambda"), "}]")), bad, inspect.RuleLambda},
		"Keras Lambda in .keras":               {"m.keras", kerasZip(replace(kerasDense, "Dense", "Lambda")), bad, inspect.RuleLambda},
		"Keras function of Python":             {"m.keras", kerasZip(`{"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}`), bad, inspect.RuleModule},
		"Keras class of Python":                {"m.keras", kerasZip(replace(kerasDense, `"module": "keras.layers"`, `"module": "mine.layers"`)), odd, inspect.RuleModule},
		"Keras function that fetches":          {"m.keras", kerasZip(`{"class_name": "X", "config": {"fn": {"module": "keras.utils", "class_name": "function", "config": "get_file"}}}`), bad, inspect.RuleModule},
		"Keras Lambda in SavedModel":           {"keras_metadata.pb", pb(1, pb(4, replace(kerasDense, "Dense", "Lambda"))), bad, inspect.RuleLambda},
		"SavedModel PyFunc":                    {"saved_model.pb", savedModel("PyFunc"), bad, inspect.RuleOperator},
		"SavedModel WriteFile":                 {"saved_model.pb", savedModel("WriteFile"), bad, inspect.RuleOperator},
		"SavedModel ReadFile":                  {"saved_model.pb", savedModel("ReadFile"), odd, inspect.RuleOperator},
		"object array":                         {"a.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", systemPickle), bad, inspect.RuleGlobal},
		"object array by its long name":        {"a.npy", npy("{'descr': 'object', 'fortran_order': False, 'shape': (1,), }", systemPickle), bad, inspect.RuleObjects},
		"object in a record":                   {"a.npy", npy("{'descr': [('a', '<i4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }", systemPickle), bad, inspect.RuleGlobal},
		"object array behind an escape":        {"a.npy", npy(`{'descr': '\x4f', 'fortran_order': False, 'shape': (1,), }`, systemPickle), bad, inspect.RuleGlobal},
		"object array in npz":                  {"a.npz", zipOf(member{"a.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", systemPickle)}), bad, inspect.RuleGlobal},
		"pickle in npz":                        {"a.npz", zipOf(member{"a.npy", systemPickle}), bad, inspect.RuleGlobal},
		"bytes after an array":                 {"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "aaaagarbage"), odd, inspect.RuleTail},
		"array of 2^60":                        {"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }", "aaaa"), odd, inspect.RuleBounds},
		"safetensors header of 2^60":           {"m.safetensors", u64(1<<60) + `{"a":1}`, odd, inspect.RuleHeader},
		"safetensors overlap":                  {"m.safetensors", safetensors(replace(tensor, "[8,16]", "[4,12]"), 12), odd, inspect.RuleOverlap},
		"safetensors hole":                     {"m.safetensors", safetensors(replace(tensor, "[8,16]", "[12,20]"), 20), odd, inspect.RuleHole},
		"safetensors tail":                     {"m.safetensors", safetensors(tensor, 16) + systemPickle, odd, inspect.RuleTail},
		"safetensors name twice":               {"m.safetensors", safetensors(replace(tensor, `"b"`, `"\u0061"`), 16), odd, inspect.RuleDuplicate},
		"safetensors field twice":              {"m.safetensors", safetensors(replace(tensor, `"shape":[2]`, `"shape":[2],"shape":[2]`), 16), odd, inspect.RuleDuplicate},
		"safetensors out of bounds":            {"m.safetensors", safetensors(replace(tensor, "[8,16]", "[8,160]"), 16), odd, inspect.RuleBounds},
		"safetensors shape of 2^62":            {"m.safetensors", safetensors(replace(tensor, "[2]", "[4611686018427387904,4]"), 16), odd, inspect.RuleBounds},
		"safetensors and zip":                  {"m.safetensors", safetensors(tensor, 16) + zipOf(member{"x", systemPickle}), bad, inspect.RulePolyglot},
		"GGUF template":                        {"m.gguf", gguf("tokenizer.chat_template", "{{ ''.__class__.__mro__[1].__subclasses__() }}", 0, 128), bad, inspect.RuleTemplate},
		"GGUF template by attr":                {"m.gguf", gguf("tokenizer.chat_template", "{{ x | attr('a') }}", 0, 128), bad, inspect.RuleTemplate},
		"GGUF template in escapes":             {"m.gguf", gguf("tokenizer.chat_template", `{{ x['\x5f\x5fclass\x5f\x5f'] }}`, 0, 128), odd, inspect.RuleTemplate},
		"GGUF template in pieces":              {"m.gguf", gguf("tokenizer.chat_template.tool_use", `{{ x['__cla' ~ 'ss__'] }}`, 0, 128), bad, inspect.RuleTemplate},
		"GGUF counts of 2^60":                  {"m.gguf", "GGUF" + u32(3) + u64(1<<60) + u64(1<<60) + strings.Repeat("x", 100), odd, inspect.RuleBounds},
		"GGUF text of 2^60":                    {"m.gguf", "GGUF" + u32(3) + u64(0) + u64(1) + u64(1<<60) + strings.Repeat("x", 100), odd, inspect.RuleBounds},
		"GGUF list that overflows":             {"m.gguf", "GGUF" + u32(3) + u64(0) + u64(1) + gstr("k") + u32(9) + u32(12) + u64(1<<61) + strings.Repeat("x", 100), odd, inspect.RuleBounds},
		"GGUF list of texts that overflows":    {"m.gguf", "GGUF" + u32(3) + u64(0) + u64(1) + gstr("k") + u32(9) + u32(8) + u64(1<<61) + strings.Repeat("x", 100), odd, inspect.RuleBounds},
		"GGUF tensor out of bounds":            {"m.gguf", gguf("general.name", "m", 1<<40, 128), odd, inspect.RuleBounds},
		"GGUF tensor not aligned":              {"m.gguf", gguf("general.name", "m", 7, 160), odd, inspect.RuleHeader},
		"GGUF and zip":                         {"m.gguf", gguf("general.name", "m", 0, 128) + zipOf(member{"x", systemPickle}), bad, inspect.RulePolyglot},
		"ONNX data out of the folder":          {"m.onnx", onnx(pb(4, "Add"), external("../../etc/passwd")), bad, inspect.RuleExternal},
		"ONNX data at an absolute path":        {"m.onnx", onnx(pb(4, "Add"), external("/etc/passwd")), bad, inspect.RuleExternal},
		"ONNX domain":                          {"m.onnx", onnx(pb(4, "Run")+pb(7, "evil.ops"), ""), odd, inspect.RuleDomain},
		"ONNX data in a nested graph":          {"m.onnx", onnx(pb(4, "If")+pb(5, pb(6, pb(5, external("../x")))), ""), bad, inspect.RuleExternal},
		"config with auto_map":                 {"config.json", `{"auto_map": {"AutoModel": "modeling.Mine"}}`, odd, inspect.RuleRemote},
		"config with auto_map elsewhere":       {"config.json", `{"auto_map": {"AutoModel": "evil/repo--modeling.Mine"}}`, bad, inspect.RuleElse},
		"config that trusts remote code":       {"config.json", `{"trust_remote_code": true}`, odd, inspect.RuleRemote},
		"config with a name twice":             {"config.json", `{"a": 1, "a": 2}`, odd, inspect.RuleDuplicate},
		"template of a tokenizer":              {"tokenizer_config.json", `{"chat_template": "{{ cycler.__init__.__globals__.os.popen('id') }}"}`, bad, inspect.RuleTemplate},
		"templates of a tokenizer":             {"tokenizer_config.json", `{"chat_template": [{"name": "x", "template": "{{ x.__class__ }}"}]}`, bad, inspect.RuleTemplate},
		"template in its own file":             {"chat_template.jinja", "{% for m in messages %}{{ m.__class__ }}{% endfor %}", bad, inspect.RuleTemplate},
		"template that includes":               {"chat_template.jinja", "{%- include '/etc/passwd' %}", odd, inspect.RuleTemplate},
		"adapter that points elsewhere":        {"adapter_config.json", `{"base_model_name_or_path": "https://evil.example/model"}`, odd, inspect.RuleElse},
		"index out of the folder":              {"model.safetensors.index.json", `{"weight_map": {"a": "../../x.safetensors"}}`, odd, inspect.RuleElse},
		"regular expression":                   {"tokenizer.json", `{"pre_tokenizer": {"pattern": {"Regex": "(a+)+$"}}}`, odd, inspect.RulePattern},
		"Python":                               {"modeling.py", "import torch\n", unknown, inspect.RuleCode},
		"Python that runs commands":            {"modeling.py", "import os\nos.system('id')\n", odd, inspect.RuleCode},
		"Python under another name":            {"weights.bin", "import os\nos.system('id')\n", odd, inspect.RuleCode},
		"YAML with objects":                    {"c.yaml", "a: !!python/object/apply:os.system ['id']\n", bad, inspect.RuleCode},
		"shell script":                         {"setup", "#!/bin/sh\nid\n", unknown, inspect.RuleCode},
		"ELF":                                  {"lib.so", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60), odd, inspect.RuleNative},
		"ELF under another name":               {"m.bin", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60), odd, inspect.RuleNative},
		"noise":                                {"m.bin", "\xff\xfe\x00\x01\x02noise", unknown, inspect.RuleUnrecognised},
		"noise that promises tensors":          {"m.safetensors", "\xff\xfe\x00\x01\x02noise", odd, inspect.RuleName},
		"text with binary data":                {"notes.txt", strings.Repeat("text\n", 1000) + "\x00\x01" + systemPickle, odd, inspect.RuleTail},
	}
}

// gapZip has a whole member between two others that its directory does not list.
func gapZip() string {
	hidden := zipOf(member{"h.pkl", systemPickle})
	hidden = hidden[:strings.Index(hidden, "PK\x01\x02")]
	z := zipOf(member{"a.txt", "aaaa"})
	at := strings.Index(z, "PK\x01\x02")
	end := strings.LastIndex(z, "PK\x05\x06")
	z = z[:at] + hidden + z[at:end+16] + u32(at+len(hidden)) + z[end+20:]
	return z
}

// hugeZip has a member that claims 2^60 bytes.
func hugeZip() string {
	z := zipOf(member{"a.txt", "aaaa"})
	at, end := strings.Index(z, "PK\x01\x02"), strings.LastIndex(z, "PK\x05\x06")
	extra := u16(1) + u16(16) + u64(1<<60) + u64(1<<60)
	central := z[at:at+20] + "\xff\xff\xff\xff\xff\xff\xff\xff" + u16(5) + u16(len(extra)) + z[at+32:end] + extra
	return z[:at] + central + z[end:end+12] + u32(len(central)) + z[end+16:]
}

func TestInspectHostile(t *testing.T) {
	for name, s := range hostileSamples() {
		t.Run(name, func(t *testing.T) {
			r := look(t, s.name, []byte(s.data))
			if r.Verdict != s.want {
				t.Errorf("verdict %v, want %v: %+v", r.Verdict, s.want, r)
			}
			if !slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == s.rule }) {
				t.Errorf("no finding %s: %+v", s.rule, r)
			}
		})
	}
}

func benignSamples() map[string]member {
	tensor := `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]}}   `
	template := "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim }}{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
	return map[string]member{
		"torch zip":            {"pytorch_model.bin", torchZip(torchPickle)},
		"torch zip, .pt":       {"m.pt", torchZip(torchPickle)},
		"old torch":            {"m.pth", "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\x00\x00\x00little_endian\x88s." + torchPickle + "\x80\x02]X\x01\x00\x00\x000a." + u64(4) + strings.Repeat("\x00\x00\x80\x3f", 4)},
		"TorchScript":          {"m.pt", torchZip("\x80\x02c__torch__\nM\n)\x81}X\x01\x00\x00\x00aK\x01sb.", member{"m/constants.pkl", "\x80\x02)."}, member{"m/code/__torch__.py", "class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return torch.relu(x)\n"}, member{"m/code/__torch__.py.debug_pkl", "\x80\x02]."})},
		"TorchScript, tensors": {"m.pt", torchZip(torchPickle, member{"m/constants.pkl", "\x80\x02)."}, member{"m/code/__torch__.py", "class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    _0 = torch.add(x, self.a)  # a save\n    return ops.quantized.linear(x, _0)\n"})},
		"pickle":               {"m.pkl", cleanPickle},
		"array of records":     {"a.npy", npy("{'descr': [('a', '<i4'), ('b', '<U3', (2,)), ('c', [('x', '|b1'), ('', '|V3')])], 'fortran_order': False, 'shape': (2,), }", strings.Repeat("\x01", 2*(4+24+4)))},
		"Keras vocabulary":     {"m.keras", kerasZip(`{"module":"keras.layers","class_name":"StringLookup","config":{"vocabulary":["a","b"]},"registered_name":null}`)},
		"Keras registered":     {"m.h5", hdf5(replace(kerasDense, `"Dense"`, `"Dense", "registered_name": "keras>Dense"`))},
		"NeMo configuration":   {"model_config.yaml", "encoder:\n  _target_: nemo.collections.asr.modules.ConformerEncoder\n  feat_in: 80\n"},
		"sentence modules":     {"modules.json", `[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]`},
		"template of Qwen":     {"chat_template.jinja", `{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}{{- messages[0]['content'].split('</think>')[-1].lstrip('\n') + messages[loop.index0 + 1].role + messages[messages|length - 1]["content"] }}{%- for k in ['a', 'b'] if k in tool %}{{ tool[k] | replace('_', ' ') | tojson(indent=4) }}{%- endfor %}`},
		"template of Llama":    {"chat_template.jinja", `{{- bos_token }}{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- endif %}{{- '{"name": "' + tool_call.name + '", ' }}{%- for arg_name, arg_val in tool_call.arguments | items %}{{- arg_name + '="' + arg_val + '"' }}{%- endfor %}{{ raise_exception('Only }} one "}"') }}`},
		"protocol 0":           {"m.pkl", "(dp0\nVa\np1\nI1\ns."},
		"array":                {"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", strings.Repeat("\x00\x00\x80\x3f", 4))},
		"array of times":       {"a.npy", npy("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2,), }", strings.Repeat("\x01", 16))},
		"scalar":               {"a.npy", npy("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", "\x01")},
		"arrays":               {"a.npz", zipWith(zip.Deflate, member{"a.npy", npy("{'descr': '<i8', 'fortran_order': True, 'shape': (2,), }", strings.Repeat("\x01", 16))})},
		"safetensors":          {"model.safetensors", safetensors(tensor, 16)},
		"empty safetensors":    {"model.safetensors", safetensors(`{}`, 0)},
		"GGUF":                 {"m.gguf", gguf("tokenizer.chat_template", template, 0, 128)},
		"ONNX":                 {"m.onnx", onnx(pb(1, "a")+pb(2, "b")+pb(4, "Relu"), "\x08\x02\x10\x01"+pb(8, "w")+pb(9, "01234567"))},
		"ONNX, data beside":    {"m.onnx", onnx(pb(4, "Relu"), external("m.onnx.data"))},
		"SavedModel":           {"saved_model.pb", savedModel("MatMul")},
		"Keras":                {"m.keras", kerasZip(kerasDense)},
		"Keras in HDF5":        {"m.h5", hdf5(kerasDense)},
		"SentencePiece":        {"tokenizer.model", pb(1, pb(1, "<unk>"), "\x15\x00\x00\x00\x00\x18\x02") + pb(1, pb(1, "a"), "\x15\x00\x00\x80\x3f") + pb(2, pb(1, "in")) + pb(3, pb(1, "nfkc"))},
		"config":               {"config.json", `{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "rope_scaling": null, "_name_or_path": "meta/x"}`},
		"tokenizer":            {"tokenizer.json", `{"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}, "pre_tokenizer": {"pattern": {"Regex": "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}}}`},
		"tokenizer config":     {"tokenizer_config.json", fmt.Sprintf(`{"chat_template": %q, "bos_token": {"content": "<s>"}}`, template)},
		"adapter":              {"adapter_config.json", `{"base_model_name_or_path": "meta-llama/Llama-3-8B", "r": 8}`},
		"index":                {"model.safetensors.index.json", `{"metadata": {"total_size": 16}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}`},
		"template":             {"chat_template.jinja", template},
		"card":                 {"README.md", "---\nlicense: mit\n---\n# Model\n\n```python\nimport torch\nfrom x import y\n```\n"},
		"merges":               {"merges.txt", "#version: 0.2\nĠ t\nĠ a\n"},
		"git":                  {".gitattributes", "*.bin filter=lfs\n"},
		"picture":              {"plot.png", "\x89PNG\r\n\x1a\n" + strings.Repeat("\x00\x01", 100)},
		"empty":                {"__init__.py", ""},
		"zip of an empty one":  {"m.zip", zipOf()},
		"tar":                  {"m.tar", tarOf(member{"a.txt", "text"}, member{"m.safetensors", safetensors(`{}`, 0)})},
		"gzip":                 {"a.txt.gz", gz("text\n")},
	}
}

func TestInspectBenign(t *testing.T) {
	for name, s := range benignSamples() {
		if r := look(t, s.name, []byte(s.data)); r.Verdict != inspect.Safe {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestInspectMemory inspects files that claim up to 2^63 bytes or hold very much, and looks at the memory in use.
func TestInspectMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(40)) // as the program has it
	samples := map[string]sample{}
	for name, s := range hostileSamples() {
		if strings.Contains(name, "2^6") || strings.Contains(name, "overflow") || name == "bomb" {
			samples[name] = s
		}
	}
	long := safetensors(`{"__metadata__":{"a":"`+strings.Repeat("x", 40<<20)+`"}}`, 0)
	samples["long text"] = sample{name: "m.safetensors", data: long}
	samples["many objects"] = sample{name: "m.pkl", data: "\x80\x02(" + strings.Repeat("N", 8<<20) + "t."}
	samples["deep JSON"] = sample{name: "config.json", data: strings.Repeat("[", 8<<20)}
	samples["many members"] = sample{name: "m.safetensors", data: safetensors("{"+strings.Repeat(`"a":{},`, 1<<20)+`"b":{}}`, 0)}
	for name, s := range samples {
		data := []byte(s.data)
		runtime.GC()
		before := inUse()
		var peak atomic.Uint64
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				peak.Store(max(peak.Load(), inUse()))
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
		look(t, s.name, data)
		close(done)
		<-ended
		if got := int64(peak.Load()) - int64(before); got > 48<<20 {
			t.Errorf("%s: %d MiB are in use", name, got>>20)
		}
	}
}

// inUse is the memory of objects, with those that are not collected yet.
func inUse() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}

func TestInspectPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("m/model.safetensors", safetensors(`{}`, 0))
	write("m/sub/evil.txt", systemPickle)
	write("outside.txt", "text")
	for link, target := range map[string]string{"m/in": "model.safetensors", "m/out": "../outside.txt", "m/loop": "loop", "m/none": "nowhere", "m/dir": "sub"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip("links cannot be made:", err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "m/pipe"), 0o600); err != nil {
		t.Skip("pipes cannot be made:", err)
	}
	r, err := Inspect(t.Context(), []string{filepath.Join(dir, "m")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]inspect.Verdict{}
	for _, f := range r.Files {
		rel, _ := filepath.Rel(filepath.Join(dir, "m"), f.Path)
		got[rel] = f.Verdict
	}
	want := map[string]inspect.Verdict{"model.safetensors": inspect.Safe, "sub/evil.txt": inspect.Hostile, "in": inspect.Safe, "out": inspect.Suspicious,
		"loop": inspect.Unknown, "none": inspect.Unknown, "dir": inspect.Unknown, "pipe": inspect.Suspicious}
	if fmt.Sprint(got) != fmt.Sprint(want) || r.Verdict != inspect.Hostile {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if _, err := Inspect(t.Context(), []string{filepath.Join(dir, "absent")}); err == nil {
		t.Error("an absent path is no error")
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// TestShownPaths sees that paths are those that a shell finds again, each once.
func TestShownPaths(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.pkl", "sub/c:b.pkl"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(cleanPickle), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, c := range []struct{ paths, want string }{
		{".", "a.pkl sub/c:b.pkl"}, {"./", "a.pkl sub/c:b.pkl"}, {"sub/", "sub/c:b.pkl"}, {"a.pkl", "a.pkl"},
		{". a.pkl ./a.pkl sub", "a.pkl sub/c:b.pkl"}, {dir, dir + "/a.pkl " + dir + "/sub/c:b.pkl"},
	} {
		r, err := Inspect(t.Context(), strings.Fields(c.paths))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range r.Files {
			got = append(got, r.Files[i].Path)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, not %s", c.paths, s, c.want)
		}
	}
}
