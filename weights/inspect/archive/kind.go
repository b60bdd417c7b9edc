package archive

import (
	"path"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// kind is what an archive is for.
type kind struct {
	torch, script, keras bool
	folder               string // of data.pkl
}

func kindOf(entries []entry) kind {
	var k kind
	var config, metadata bool
	for i := range entries {
		name := entries[i].name
		switch path.Base(name) {
		case "data.pkl":
			k.torch, k.folder = true, path.Dir(name)
		}
		config = config || name == "config.json"
		metadata = metadata || name == "metadata.json"
	}
	// Only where the loader looks for it: elsewhere it must not make the pickle one of TorchScript's interpreter.
	k.script = k.torch && slices.ContainsFunc(entries, func(e entry) bool { return e.name == path.Join(k.folder, "constants.pkl") })
	k.keras = config && metadata
	return k
}

// role says what a member is used for. Raw members are numbers that the loader takes as they are: in an archive of
// PyTorch the storages, which torch.load finds by their place and never unpickles.
func (k kind) role(f *inspect.File, name string) (role inspect.Role, raw bool) {
	if k.keras && name == "config.json" {
		return inspect.RoleKeras, false
	}
	if !k.torch {
		return f.Role, false
	}
	in, ok := strings.CutPrefix(name, k.folder+"/")
	if k.folder == "." {
		in, ok = name, true
	}
	if ok {
		dir, file := path.Split(in)
		if (dir == "data/" || dir == "constants/") && digits(file) {
			return inspect.RoleNone, true
		}
		if k.script && strings.HasPrefix(in, "code/") {
			return inspect.RoleScript, false
		}
	}
	if k.script {
		return inspect.RoleScript, false
	}
	return inspect.RoleTorch, false
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
