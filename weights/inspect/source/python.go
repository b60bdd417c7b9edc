package source

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// matchPython takes files by their name, and otherwise text with lines as only programs have them.
func matchPython(f *inspect.File) bool {
	if !isText(f) {
		return false
	}
	switch f.Extension() {
	case ".py", ".pyw", ".pyi":
		return true
	case ".md", ".txt", ".rst", ".html", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".jinja", ".toml", ".cfg", ".ini":
		return false // not loaded as a program, and may quote one
	}
	h := f.Head()
	if bytes.HasPrefix(h, []byte("#!")) {
		first, _, _ := bytes.Cut(h, []byte("\n"))
		return bytes.Contains(first, []byte("python"))
	}
	for line := range bytes.SplitSeq(h, []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) >= 2 && line[0] != ' ' && line[0] != '\t' && (fields[0] == "import" && len(fields) == 2 || fields[0] == "from" && len(fields) >= 4 && fields[2] == "import" ||
			(fields[0] == "def" || fields[0] == "class") && strings.HasSuffix(strings.TrimSpace(string(line)), ":")) {
			return true
		}
	}
	return false
}

// reach are names by which Python leaves a model's own business.
func reach() *regexp.Regexp {
	return regexp.MustCompile(`\b(os\.(?:system|popen|exec\w*|spawn\w*|posix_spawn|remove|unlink|fork)|subprocess|socket|ctypes|pty|marshal|pickle\.loads?|cPickle|dill|` +
		`urllib|requests|httpx|ftplib|smtplib|telnetlib|paramiko|importlib|__import__|runpy|eval|exec|compile|builtins|shutil\.rmtree|webbrowser|base64\.b\w*decode|codecs\.decode|getattr\(__)(?:\b|\()`)
}

func scanPython(f *inspect.File) {
	if f.Role == inspect.RoleScript {
		scanTorchScript(f)
		return
	}
	f.Report(inspect.RuleCode, inspect.Unknown, 0, "the file is a Python program, which runs when the model is loaded with trust in its code")
	r := reach()
	seen := map[string]bool{}
	odd, err := lines(f, func(line []byte, at int64) {
		code, _, _ := bytes.Cut(line, []byte("#"))
		for _, m := range r.FindAllIndex(code, 8) {
			word := strings.TrimRight(string(code[m[0]:m[1]]), "(")
			if m[0] > 0 && code[m[0]-1] == '.' && (word == "eval" || word == "compile") || seen[word] {
				continue // model.eval(), re.compile()
			}
			seen[word] = true
			f.Report(inspect.RuleCode, inspect.Suspicious, at+int64(m[0]), "the program uses %s", inspect.Quote(word))
		}
	})
	if err != nil {
		f.Unreadable(err)
	}
	if odd >= 0 {
		f.Report(inspect.RuleTail, inspect.Suspicious, odd, "the program holds binary data")
	}
}

// maxScript is how much TorchScript code of one file is looked at, in bytes.
const maxScript = 16 << 20

// scanTorchScript reads code that only the interpreter of TorchScript runs. It can compute, and little else: what
// reaches files are a few operators, and what is not of PyTorch comes from a library. White space, ends of lines in
// brackets and comments may stand between any two words, and namespaces may be given other names.
func scanTorchScript(f *inspect.File) {
	if f.Size > maxScript {
		f.Report(inspect.RuleLimit, inspect.Unknown, maxScript, "the TorchScript code has more than %d bytes; the rest is not inspected", maxScript)
	}
	text := f.Bytes(0, maxScript)
	files := regexp.MustCompile(`\b(?:torch|aten)\.(save|load|from_file|_save_parameters)\b|\b(sox_io_\w+|sox_effects_\w+|ffmpeg_\w+)\b`)
	ops := regexp.MustCompile(`\bops\.(\w+)\.(\w+)`)
	alias := regexp.MustCompile(`=\(*(?:torch|ops(?:\.\w+)?)\)*[ \t]*(?:[\n;,]|$)`)
	known := map[string]bool{"aten": true, "prim": true, "prims": true, "quantized": true, "sparse": true, "torchvision": true, "torchaudio": true, "_quantized": true, "inductor": true, "mkldnn": true, "mkldnn_prepacked": true, "prepacked": true, "cuda": true, "_caffe2": true, "profiler": true}
	// A number sign in a text begins no comment: both readings count.
	for _, code := range [][]byte{text, regexp.MustCompile(`#[^\n]*`).ReplaceAll(text, nil)} {
		lines := regexp.MustCompile(`[ \t\r\f\\]*([.()=,])[ \t\r\f\\]*`).ReplaceAll(code, []byte("$1"))
		joined := regexp.MustCompile(`[\s\\]*([.()=,])[\s\\]*`).ReplaceAll(code, []byte("$1"))
		for _, m := range files.FindAll(joined, 20) {
			f.Report(inspect.RuleCode, inspect.Hostile, -1, "the TorchScript code uses %s, which reaches files", inspect.Quote(string(m)))
		}
		for _, m := range ops.FindAllSubmatch(joined, -1) {
			if !known[string(m[1])] {
				f.Report(inspect.RuleCode, inspect.Suspicious, -1, "the TorchScript code needs the operator %s of a library", inspect.Quote(string(m[0])))
			}
		}
		if m := alias.Find(lines); m != nil {
			f.Report(inspect.RuleCode, inspect.Suspicious, -1, "the TorchScript code gives the operators another name, %s", inspect.Quote(strings.TrimSpace(string(m))))
		}
	}
	f.Report(inspect.RuleCode, inspect.Safe, -1, "holds TorchScript code, which computes only")
}
