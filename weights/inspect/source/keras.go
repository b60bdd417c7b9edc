package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// kerasReader follows the configuration of a Keras model: objects with class_name, module and config. Loading makes
// the class that an object names, so that a Lambda layer, a function outside of Keras (CVE-2025-1550) or a function of
// Keras that reaches files (CVE-2025-8747) runs or can be made to run.
type kerasReader struct {
	f       *inspect.File
	at      int64 // place of the configuration, -1 in a file of its own
	stack   []kerasObject
	classes int // objects with a class_name
}

type kerasObject struct {
	class, module, registered, config, vocabulary string
	hasClass, hasModule                           bool
}

func (k *kerasReader) visit(e inspect.JSONEvent) error {
	switch e.Value {
	case json.Delim('{'):
		k.stack = append(k.stack, kerasObject{})
		return nil
	case json.Delim('}'):
		if n := len(k.stack); n > 0 {
			o := k.stack[n-1]
			k.stack = k.stack[:n-1]
			k.judge(o)
		}
		return nil
	}
	text, ok := e.Value.(string)
	if !ok || len(k.stack) == 0 || len(e.Path) == 0 {
		return nil
	}
	o := &k.stack[len(k.stack)-1]
	switch e.Path[len(e.Path)-1] {
	case "class_name":
		o.class, o.hasClass = text, true
	case "module":
		o.module, o.hasModule = text, true
	case "registered_name":
		o.registered = text
	case "config":
		o.config = text
	case "vocabulary":
		if n := len(k.stack); n > 1 && text != "" { // it belongs to the layer whose configuration this is
			k.stack[n-2].vocabulary = text
		}
	}
	return nil
}

// judge reports what making an object would run.
func (k *kerasReader) judge(o kerasObject) {
	if !o.hasClass {
		return
	}
	k.classes++
	class := strings.ToLower(o.class[strings.LastIndexByte(o.class, '>')+1:])
	if o.vocabulary != "" {
		k.f.Report(inspect.RuleElse, inspect.Suspicious, k.at, "a layer reads its vocabulary from %s", inspect.Quote(o.vocabulary))
	}
	switch {
	case class == "tfsmlayer" || class == "torchmodulewrapper" || class == "jaxlayer" || class == "flaxlayer":
		k.f.Report(inspect.RuleModule, inspect.Hostile, k.at, "the layer %s loads a model of another framework, which can run anything", inspect.Quote(o.class))
		return
	case class == "lambda" || class == "__lambda__":
		k.f.Report(inspect.RuleLambda, inspect.Hostile, k.at, "a Lambda layer holds Python byte code or a function")
		return
	case class == "function" || class == "builtin_function_or_method" || class == "type" || class == "method":
		root, rest, _ := strings.Cut(o.module, ".")
		if root != "keras" && root != "" && o.hasModule {
			k.f.Report(inspect.RuleModule, inspect.Hostile, k.at, "names the function %s", inspect.Quote(o.module+"."+o.config))
		} else if o.hasModule && !functionsOf(rest) {
			k.f.Report(inspect.RuleModule, inspect.Hostile, k.at, "names the function %s, which is no activation, loss, initializer or metric", inspect.Quote(o.module+"."+o.config))
		}
		return
	case class == "tfoplambda" || class == "slicingoplambda" || class == "tfopsmodule":
		k.f.Report(inspect.RuleLambda, inspect.Suspicious, k.at, "a layer calls an operator of TensorFlow by its name")
		return
	}
	if !o.hasModule {
		if pack, _, ok := strings.Cut(o.registered, ">"); ok && !strings.HasPrefix(pack, "keras") && pack != "tf" {
			k.f.Report(inspect.RuleModule, inspect.Suspicious, k.at, "names %s, which a program has to register", inspect.Quote(o.registered))
		}
		return
	}
	root, _, _ := strings.Cut(o.module, ".")
	switch root {
	case "keras", "builtins", "keras_nlp", "keras_hub", "keras_cv", "tf_keras", "":
		if root == "builtins" || root == "keras" && strings.HasPrefix(o.module, "keras.src.utils") || strings.HasPrefix(o.module, "keras.utils") {
			k.f.Report(inspect.RuleModule, inspect.Hostile, k.at, "names %s, which is no part of a model", inspect.Quote(o.module+"."+o.class))
		}
	default:
		k.f.Report(inspect.RuleModule, inspect.Suspicious, k.at, "names %s, which is not part of Keras", inspect.Quote(o.module+"."+o.class))
	}
}

// functionsOf reports whether functions of that part of Keras compute only.
func functionsOf(module string) bool {
	for _, m := range []string{"activations", "losses", "metrics", "initializers", "regularizers", "constraints", "ops", "src.activations", "src.losses", "src.metrics", "src.initializers", "src.regularizers", "src.ops"} {
		if module == m || strings.HasPrefix(module, m+".") {
			return true
		}
	}
	return false
}

// FindKeras looks for the configurations of Keras models anywhere in a file: HDF5 keeps them in attributes, which are
// never compressed, and SavedModel in protocol buffers. Each place where a JSON object could begin is tried.
func FindKeras(f *inspect.File) { findKeras(f) }

// findKeras returns the number of configurations found.
func findKeras(f *inspect.File) int {
	const overlap = 16
	buf := make([]byte, min(max(f.Size, 4*overlap), 256<<10))
	found := 0
	var skipTo, tried int64
	for at := int64(0); at < f.Size; at += int64(len(buf) - overlap) {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			f.Unreadable(err)
			return found
		}
		b := buf[:n]
		for i := 0; ; {
			j := bytes.IndexByte(b[i:], '{')
			if j < 0 {
				break
			}
			i += j + 1
			place := at + int64(i-1)
			rest := bytes.TrimLeft(b[i:min(len(b), i+overlap-1)], " \t\r\n")
			if place < skipTo || len(rest) > 0 && rest[0] != '"' || len(rest) == 0 && i+overlap <= len(b) {
				continue
			}
			size, ok := tryKeras(f, place)
			if ok {
				found++
			}
			skipTo = place + size
			if tried += size; tried > maxTried {
				f.Report(inspect.RuleLimit, inspect.Unknown, place, "there are more places where a configuration could be than are read")
				return found
			}
		}
	}
	return found
}

// tryKeras reads a JSON object from that place and reports what it names. It returns how many bytes need not be tried
// again, and whether there are classes.
func tryKeras(f *inspect.File, at int64) (int64, bool) {
	// Most places are none: a short look comes first.
	if head := f.Bytes(at, 256); !plausible(head) {
		return 0, false
	}
	k := kerasReader{f: f, at: at}
	size, err := inspect.ReadJSONPrefix(f.Section(at, maxKeras), k.visit)
	if err == nil {
		return size, k.classes > 0
	}
	for _, o := range k.stack { // a loader may read on where this reader cannot
		k.judge(o)
	}
	if k.classes > 0 {
		f.Report(inspect.RuleBroken, inspect.Suspicious, at, "a Keras configuration breaks after %d bytes", size)
	}
	return 0, k.classes > 0
}

// plausible reports whether a JSON object can begin so: a name, and a colon behind it.
func plausible(b []byte) bool {
	b = bytes.TrimLeft(b[min(1, len(b)):], " \t\r\n")
	if len(b) < 2 || b[0] != '"' {
		return false
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\':
			i++
		case c == '"':
			rest := bytes.TrimLeft(b[i+1:], " \t\r\n")
			return len(rest) == 0 || rest[0] == ':'
		case c < ' ' || c >= 0x7f:
			return false
		}
	}
	return true
}

// matchHDF5 looks for the signature where the format allows it: at the start, and at 512 bytes times a power of two.
func matchHDF5(f *inspect.File) bool {
	const magic = "\x89HDF\r\n\x1a\n"
	if bytes.HasPrefix(f.Head(), []byte(magic)) {
		return true
	}
	for at := int64(512); at <= 1<<16 && at < f.Size; at *= 2 {
		if string(f.Bytes(at, len(magic))) == magic {
			return true
		}
	}
	return false
}

func scanHDF5(f *inspect.File) {
	if !bytes.HasPrefix(f.Head(), []byte("\x89HDF")) {
		f.Report(inspect.RulePolyglot, inspect.Suspicious, 0, "bytes lie before the HDF5 file")
	}
	findKeras(f)
	f.Report(inspect.RuleExternal, inspect.Safe, -1, "configurations are looked for, links to other files are not")
}
