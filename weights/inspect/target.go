package inspect

import (
	"regexp"
	"slices"
	"strings"
)

// Target reports what Hydra's instantiate would call for a configuration with that _target_: anything that Python can import,
// with arguments of the configuration's choice. Loaders of models call it on what comes with the model.
func (f *File) Target(name string, off int64) {
	root, _, _ := strings.Cut(name, ".")
	switch {
	case slices.Contains([]string{
		"builtins", "os", "posix", "nt", "sys", "subprocess", "importlib", "runpy", "shutil", "socket", "pty", "pickle", "_pickle", "marshal", "ctypes", "code", "codeop", "commands",
		"cProfile", "profile", "pdb", "bdb", "timeit", "trace", "pip", "pkgutil", "platform", "webbrowser", "urllib", "requests", "http", "asyncio", "multiprocessing", "operator",
		"functools", "types", "inspect", "io", "tempfile", "dill", "cloudpickle", "joblib", "numexpr", "site", "doctest", "pydoc", "ensurepip", "venv", "hydra",
	}, root):
		f.Report(RuleRemote, Hostile, off, "a configuration calls %s with what it likes", Quote(name))
	case !slices.Contains([]string{
		"torch", "torchvision", "torchaudio", "torchmetrics", "nemo", "pytorch_lightning", "lightning", "transformers", "diffusers", "timm", "omegaconf", "megatron", "peft",
	}, root), name == "torch.load", name == "torch.hub.load", name == "torch.jit.load", strings.HasPrefix(name, "torch.serialization."), strings.HasPrefix(name, "torch.utils.cpp_extension."):
		f.Report(RuleRemote, Suspicious, off, "a configuration makes %s, which is not known to be part of a model", Quote(name))
	}
}

// Targets returns what the members _target_ in a text name, at most a hundred of them. The text may be JSON, escaped or not.
func Targets(text string) (names []string) {
	if !strings.Contains(text, "_target_") {
		return nil
	}
	for _, m := range regexp.MustCompile(`_target_[\\"']*\s*[:=]\s*[\\"']*([\w.]+)`).FindAllStringSubmatch(text, 100) {
		names = append(names, m[1])
	}
	return names
}
