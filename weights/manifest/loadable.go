package manifest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// headSize is how much of a file is looked at to tell what it is, in bytes.
const headSize = 4096

// Loadable says why a framework, an interpreter or a tool might take the file in: code, weights, pickles, templates,
// tokenizers, configuration, archives, and everything that is not known to be inert. It returns "" for a file that is:
// documents, pictures and signatures by name, as long as the content does not belie the name, and empty files whose name
// is not that of something loadable. Whoever can write a loadable file that no signature covers can change what a signed
// model does.
//
// In git's own folders, configuration is git's: there only code, weights, pickles and templates count, and in .git, which
// holds copies of files under names of its own, only names.
func Loadable(p string, size int64, head []byte) string {
	base := strings.ToLower(path.Base(p))
	ext := path.Ext(base)
	inGit := Within(p, []string{".git"})
	if kind := loadedByName(base, ext); kind != "" && !(kind == "configuration" && Within(p, []string{".git", ".github"})) {
		return kind
	}
	if inGit {
		return ""
	}
	if kind := loadedByContent(head); kind != "" {
		return kind
	}
	switch {
	case size == 0, inertPicture(ext):
		return ""
	case !inertText(base, ext) && !Within(p, DefaultIgnored()):
		return "a file of unknown kind"
	case !text(head, size):
		return "binary content under the name of a text"
	}
	return ""
}

// LoadableFile reads the beginning of f in fsys and asks Loadable. What cannot be read is not taken for inert.
func LoadableFile(fsys fs.FS, f *File) string {
	in, err := fsys.Open(f.at())
	if err != nil {
		return "a file that cannot be read"
	}
	defer in.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "a file that cannot be read"
	}
	return Loadable(f.Path, f.Info.Size(), head[:n])
}

func loadedByName(base, ext string) string {
	switch {
	case inertName(base):
		return ""
	case has(ext, ".py .pyc .pyo .pyd .pyi .pyx .pyz .pth .so .dll .dylib .exe .js .mjs .wasm .sh .bash .zsh .ps1 .bat .cmd .rb .lua .jl .r .pl .ipynb .cu .ptx .cubin .hip .c .cc .cpp .h .hpp .go .rs .java .class .jar .whl .egg"),
		strings.Contains(base, ".so."):
		return "code"
	case has(ext, ".pkl .pickle .p .pk .pt .bin .ckpt .joblib .dill .cloudpickle .npy .npz .t7 .pdparams .pdmodel .pdopt .mar .mat .rds .rdata"):
		return "a pickle or an object archive"
	case has(ext, ".safetensors .gguf .ggml .ggjt .h5 .hdf5 .keras .onnx .ort .pb .pbtxt .tflite .lite .msgpack .mlmodel .mlpackage .engine .plan .trt .nemo .params .model .weights .caffemodel .llamafile .pte .nnef .bst .ubj .cbm .pmml .orbax .data .index"),
		strings.Contains(base, ".data-00"):
		return "weights"
	case has(ext, ".jinja .jinja2 .j2 .tmpl .tpl .template .mustache .hbs"):
		return "a template"
	case strings.Contains(base, "tokenizer"), has(base, "vocab.txt merges.txt special_tokens_map.json added_tokens.json"), has(ext, ".spm .bpe .tiktoken .vocab"):
		return "a tokenizer"
	case has(ext, ".zip .tar .tgz .gz .bz2 .xz .zst .7z .rar .lz4 .cab .iso .img .squashfs"):
		return "an archive"
	case has(ext, ".json .jsonl .json5 .yaml .yml .toml .ini .cfg .conf .xml .proto .env .properties .gin .hocon .txt"):
		return "configuration"
	}
	return ""
}

// inertName knows full names that end like something loadable and are not.
func inertName(base string) bool {
	return has(base, "claims.jsonl license.txt licence.txt notice.txt readme.txt copying.txt") ||
		strings.HasSuffix(base, ".sigstore.json") || strings.HasSuffix(base, ".intoto.jsonl")
}

func inertText(base, ext string) bool {
	return inertName(base) ||
		has(ext, ".md .markdown .rst .adoc .bib .sig .sigstore .tlog-proof .log .gitkeep .gitattributes .gitignore .gitmodules") ||
		has(base, "license licence copying notice authors citation changelog readme version")
}

func inertPicture(ext string) bool { return has(ext, ".png .jpg .jpeg .gif .webp .bmp .ico .pdf") }

// has reports whether word is one of the words of the list.
func has(word, list string) bool { return word != "" && slices.Contains(strings.Fields(list), word) }

// loadedByContent knows the first bytes of what can be run or unpacked.
func loadedByContent(head []byte) string {
	for _, m := range []struct{ magic, kind string }{
		{"#!", "a script"}, {"\x7fELF", "code"}, {"MZ", "code"}, {"\xcf\xfa\xed\xfe", "code"}, {"\xce\xfa\xed\xfe", "code"},
		{"\xca\xfe\xba\xbe", "code"}, {"\x00asm", "code"},
		{"PK\x03\x04", "an archive"}, {"PK\x05\x06", "an archive"}, {"\x1f\x8b", "an archive"}, {"7z\xbc\xaf\x27\x1c", "an archive"},
		{"BZh", "an archive"}, {"\xfd7zXZ\x00", "an archive"}, {"\x28\xb5\x2f\xfd", "an archive"}, {"Rar!", "an archive"},
		{"GGUF", "weights"}, {"ggml", "weights"}, {"\x89HDF\r\n\x1a\n", "weights"}, {"\x93NUMPY", "a pickle or an object archive"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind
		}
	}
	switch {
	case len(head) >= 2 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5:
		return "a pickle or an object archive"
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "an archive"
	case len(head) > 9 && head[8] == '{' && head[7] == 0 && head[6] == 0: // length of a JSON header, then the header
		return "weights"
	}
	return ""
}

func text(head []byte, size int64) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for cut := 0; cut < utf8.UTFMax && cut <= len(head); cut++ {
		if utf8.Valid(head[:len(head)-cut]) {
			return cut == 0 || size > int64(len(head)) // a letter may be cut in two at the end of the head only
		}
	}
	return false
}
