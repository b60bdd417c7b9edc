package provenance

import (
	"slices"
	"strings"
	"testing"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// evasions are variants of attacks that were made to pass by the checks of TestInspectHostile.
func evasions() map[string]sample {
	const bad, odd, unknown = inspect.Hostile, inspect.Suspicious, inspect.Unknown
	script := func(code string) string {
		return torchZip(torchPickle, member{"m/constants.pkl", "\x80\x02)."}, member{"m/code/__torch__/m.py", "def forward(self, x: Tensor) -> Tensor:\n" + code})
	}
	keras := func(module, class, config string) string {
		return kerasZip(`{"class_name":"Sequential","module":"keras","config":{"layers":[{"module":"` + module + `","class_name":"` + class + `","config":` + config + `}]}}`)
	}
	packed := func(method string) string { // claims that method
		z := zipOf(member{"m/data.pkl", systemPickle})
		return strings.ReplaceAll(z, "\x14\x00\x00\x00\x00\x00", "\x14\x00\x00\x00"+method+"\x00")
	}
	array := func(descr string) string {
		return npy("{'descr': "+descr+", 'fortran_order': False, 'shape': (1,), }", systemPickle)
	}
	return map[string]sample{
		"protocol 0 with a far memo entry":     {"model.bin", "I1\np9999999\n0cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"protocol 0 with far entries, read":    {"model", "I1\np9999999\n0g9999999\n0cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"protocol 0 with a great memo entry":   {"model", "I1\np99999999999999999999999\n0g99999999999999999999999\n0cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"protocol 0 with digits of Unicode":    {"model", "I1\np１\n0cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"protocol 0, named text":               {"model.txt", "cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"protocol 0, named JSON":               {"config.json", "cos\nsystem\n(S'id'\ntR.", bad, inspect.RuleGlobal},
		"name through a far memo entry":        {"m.pkl", "\x80\x04\x8c\x02osr\xff\xff\xff\x7f0\x8c\x06systemr\xfe\xff\xff\x7f0j\xff\xff\xff\x7fj\xfe\xff\xff\x7f\x93(\x8c\x02idtR.", bad, inspect.RuleGlobal},
		"object array in a list of types":      {"a.npy", array("'<f4,O'"), bad, inspect.RuleGlobal},
		"object array with a shape":            {"a.npy", array("'(2,)O'"), bad, inspect.RuleGlobal},
		"object array with a count":            {"a.npy", array("'3O'"), bad, inspect.RuleGlobal},
		"object array in a tuple":              {"a.npy", array("('O', (2,))"), bad, inspect.RuleGlobal},
		"object array in a dictionary":         {"a.npy", array("{'names': ['a'], 'formats': ['f4,O']}"), bad, inspect.RuleGlobal},
		"object array as bytes":                {"a.npy", array("b'O'"), bad, inspect.RuleGlobal},
		"object array in a nested record":      {"a.npy", array("[('a', [('b', '<i4'), ('c', 'i4,O')])]"), bad, inspect.RuleGlobal},
		"object array, described twice":        {"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'descr': 'f4,O', 'fortran_order': False, 'shape': (1,), }", systemPickle), bad, inspect.RuleGlobal},
		"pickle behind a record":               {"a.npy", npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "aaaa"+systemPickle), odd, inspect.RuleTail},
		"template behind an end in a text":     {"chat_template.jinja", "{{ '}}' ~ ''.__class__.__mro__ }}", bad, inspect.RuleTemplate},
		"template behind an end in a tag":      {"chat_template.jinja", `{% if "%}" == x.__class__ %}{% endif %}`, bad, inspect.RuleTemplate},
		"template in pieces of two kinds":      {"chat_template.jinja", `{{ x["__cla"~'ss__'] }}`, bad, inspect.RuleTemplate},
		"template that counts underscores":     {"chat_template.jinja", `{% set u='_' %}{{ ''[u~u~'class'~u~u] }}`, odd, inspect.RuleTemplate},
		"template that multiplies":             {"chat_template.jinja", `{{ ''['_'*2~'class'~'_'*2] }}`, odd, inspect.RuleTemplate},
		"template that formats":                {"chat_template.jinja", `{{ ''['%c%cclass%c%c'|format(95,95,95,95)] }}`, odd, inspect.RuleTemplate},
		"template that formats by an operator": {"chat_template.jinja", `{{ ''['%c%cclass%c%c' % (95,95,95,95)] }}`, odd, inspect.RuleTemplate},
		"template that replaces":               {"chat_template.jinja", `{{ ''['XXclassXX'|replace('X','_')] }}`, odd, inspect.RuleTemplate},
		"template that joins":                  {"chat_template.jinja", `{{ ''[['_','_','class','_','_']|join] }}`, odd, inspect.RuleTemplate},
		"template that reverses":               {"chat_template.jinja", `{{ ''['__ssalc__'|reverse] }}`, bad, inspect.RuleTemplate},
		"template that takes a letter":         {"chat_template.jinja", `{% set u=(()|select|string)[24] %}{{ ''[u~u~'class'~u~u] }}`, odd, inspect.RuleTemplate},
		"template with a filter block":         {"chat_template.jinja", `{% filter attr('x') %}{% endfilter %}`, bad, inspect.RuleTemplate},
		"template that maps":                   {"chat_template.jinja", `{{ [x]|map('attr', y)|list }}`, bad, inspect.RuleTemplate},
		"template that includes without space": {"chat_template.jinja", `{%include'/etc/passwd'%}`, odd, inspect.RuleTemplate},
		"TorchScript with spaces":              {"m.pt", script("  ops . aten . save(x, \"/tmp/x\")\n"), bad, inspect.RuleCode},
		"TorchScript over lines":               {"m.pt", script("  (ops.\n  aten.save)(x, \"/tmp/x\")\n"), bad, inspect.RuleCode},
		"TorchScript with a comment between":   {"m.pt", script("  (ops.# a\n  aten.save)(x, \"/tmp/x\")\n"), bad, inspect.RuleCode},
		"TorchScript through a variable":       {"m.pt", script("  o = ops.aten\n  o.save(x, \"/tmp/x\")\n"), odd, inspect.RuleCode},
		"TorchScript that reads a file":        {"m.pt", script("  return torch.from_file(\"/etc/passwd\", False, 10)\n"), bad, inspect.RuleCode},
		"TorchScript that writes sound":        {"m.pt", script("  ops.torchaudio.sox_io_save_audio_file(\"/tmp/x\", x)\n"), bad, inspect.RuleCode},
		"TorchScript by a name elsewhere":      {"m.pt", torchZip("\x80\x02c__torch__\nx\n)R.", member{"m/x/constants.pkl", "\x80\x02)."}), odd, inspect.RuleGlobal},
		"Keras that loads a SavedModel":        {"m.keras", keras("keras.layers", "TFSMLayer", `{"filepath":"//host/x"}`), bad, inspect.RuleModule},
		"Keras that loads a module of PyTorch": {"m.keras", keras("keras.layers", "TorchModuleWrapper", `{"module":"gASV"}`), bad, inspect.RuleModule},
		"Keras that loads PyTorch, elsewhere":  {"m.keras", keras("keras.src.utils.torch_utils", "TorchModuleWrapper", `{"module":"gASV"}`), bad, inspect.RuleModule},
		"Keras vocabulary in a file":           {"m.keras", keras("keras.layers", "StringLookup", `{"vocabulary":"/etc/passwd"}`), odd, inspect.RuleElse},
		"Keras that switches safe mode off":    {"m.keras", keras("keras.config", "function", `"enable_unsafe_deserialization"`), bad, inspect.RuleModule},
		"Keras that loads another":             {"m.keras", keras("keras.saving", "function", `"load_model"`), bad, inspect.RuleModule},
		"Keras registered name":                {"m.keras", kerasZip(`{"module":null,"class_name":"Evil","registered_name":"mine>Evil","config":{}}`), odd, inspect.RuleModule},
		"Keras Lambda of another package":      {"m.h5", hdf5(replace(kerasDense, `"Dense"`, `"Custom>Lambda"`)), bad, inspect.RuleLambda},
		"ONNX data of a sparse attribute":      {"m.onnx", onnx(pb(4, "Constant")+pb(5, pb(22, pb(1, external("/etc/passwd")))), ""), bad, inspect.RuleExternal},
		"ONNX data of sparse attributes":       {"m.onnx", onnx(pb(4, "Constant")+pb(5, pb(23, pb(2, external("/etc/passwd")))), ""), bad, inspect.RuleExternal},
		"ONNX data of a function's default":    {"m.onnx", onnx(pb(4, "Add"), "") + pb(25, pb(1, "f"), pb(11, pb(5, external("/etc/passwd")))), bad, inspect.RuleExternal},
		"ONNX data at a device":                {"m.onnx", onnx(pb(4, "Add"), external(`\\.\pipe\x`)), bad, inspect.RuleExternal},
		"YAML that makes any object":           {"model_config.yaml", "model:\n  _target_: os.system\n  command: id\n", bad, inspect.RuleRemote},
		"YAML that makes any object, quoted":   {"model_config.yaml", "model: {'_target_': \"builtins.exec\"}\n", bad, inspect.RuleRemote},
		"JSON that makes any object":           {"config.json", `{"model": {"_target_": "builtins.exec", "_args_": ["x"]}}`, bad, inspect.RuleRemote},
		"JSON that makes an unknown object":    {"config.json", `{"model": {"_target_": "mine.Model"}}`, odd, inspect.RuleRemote},
		"safetensors that make any object":     {"m.safetensors", safetensors(`{"__metadata__":{"c":"{\"_target_\": \"os.system\"}"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), bad, inspect.RuleRemote},
		"modules of another package":           {"modules.json", `[{"idx":0,"name":"0","path":"","type":"mine.Evil"}]`, odd, inspect.RuleRemote},
		"zip with a pickle in bzip2":           {"m.pt", packed("\x0c"), odd, ""},
		"zip with a pickle in LZMA":            {"m.zip", packed("\x0e"), odd, ""},
		"pickle in tar in zip":                 {"m.zip", zipOf(member{"a.dat", tarOf(member{"x", systemPickle})}), bad, inspect.RuleGlobal},
		"pickle in gzip in tar in zip":         {"m.zip", zipOf(member{"a.dat", tarOf(member{"x", gz(systemPickle)})}), bad, inspect.RuleGlobal},
		"joblib in xz":                         {"m.joblib", "\xfd7zXZ\x00" + strings.Repeat("x", 60), odd, inspect.RuleContainer},
		"joblib in LZ4":                        {"m.joblib", "\x04\x22\x4d\x18" + strings.Repeat("x", 60), odd, inspect.RuleContainer},
		"joblib of old":                        {"m.joblib", "ZF0x10              " + strings.Repeat("x", 60), odd, ""},
		"joblib with an array behind":          {"m.joblib", "\x80\x04\x8c\x13joblib.numpy_pickle\x8c\x11NumpyArrayWrapper\x93)\x81}b" + strings.Repeat("\xff", 32) + systemPickle, bad, ""},
		"GGUF of the first version":            {"m.gguf", "GGUF" + u32(1) + u32(0) + u32(1) + u32(23) + "tokenizer.chat_template" + u32(8) + u32(17) + "{{ x.__class__ }}", unknown, inspect.RuleHeader},
		"GGUF template in a list":              {"m.gguf", "GGUF" + u32(3) + u64(0) + u64(1) + gstr("tokenizer.chat_template") + u32(9) + u32(8) + u64(1) + gstr("{{ x.__class__ }}"), bad, inspect.RuleTemplate},
		"GGUF template twice":                  {"m.gguf", "GGUF" + u32(3) + u64(0) + u64(2) + gstr("tokenizer.chat_template") + u32(8) + gstr("a") + gstr("tokenizer.chat_template") + u32(8) + gstr("{{ x.__class__ }}"), bad, inspect.RuleTemplate},
		"safetensors with spaces before":       {"m.safetensors", u64(8) + `    {}  `, odd, ""},
		"pickle behind 8 KB of text in HDF5":   {"m.h5", strings.Repeat("text\n", 1639)[:8192] + hdf5(replace(kerasDense, "Dense", "Lambda")), bad, inspect.RuleLambda},
		"HDF5 behind 8 KB of text, named text": {"weights", strings.Repeat("text\n", 1639)[:8192] + hdf5(replace(kerasDense, "Dense", "Lambda")), bad, inspect.RuleLambda},
		"ONNX sparse initialiser":              {"m.onnx", "\x08\x08" + pb(2, "maker") + pb(7, pb(1, pb(4, "Add")), pb(15, pb(1, external("../x")))) + pb(8, pb(1, ""), "\x10\x0d"), bad, inspect.RuleExternal},
	}
}

func TestEvasions(t *testing.T) {
	for name, s := range evasions() {
		t.Run(name, func(t *testing.T) {
			r := look(t, s.name, []byte(s.data))
			if r.Verdict < s.want {
				t.Errorf("verdict %v, want %v: %+v", r.Verdict, s.want, r)
			}
			if s.rule != "" && !slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Rule == s.rule }) {
				t.Errorf("no finding %s: %+v", s.rule, r)
			}
		})
	}
}
