package provenance

import (
	"context"
	"io/fs"

	"github.com/palladium-guard/palladium/weights/manifest"
)

// Opened is a directory or a file whose content was hashed. Its file system is confined to it.
type Opened struct {
	FS        fs.FS
	Single    string          // name in FS when it is one file
	Files     []manifest.File // sorted as the reference of OpenSSF Model Signing does
	Resources []manifest.Resource
	Close     func() error
}

// Digest opens what is at path and hashes every file of it with SHA-256. Links are refused, as everything is that a
// signature could not state. Errors about files wrap ErrRefused. The caller closes what comes back.
func Digest(ctx context.Context, path string, ignore []string, r Reading) (*Opened, error) {
	m, err := openModel(path, false, false)
	if err != nil {
		return nil, err
	}
	o, err := digest(ctx, m, ignore, r)
	if err != nil {
		m.close()
		return nil, err
	}
	return o, nil
}

func digest(ctx context.Context, m *model, ignore []string, r Reading) (*Opened, error) {
	tree, err := m.list(manifest.Scope{Ignore: ignore})
	if err != nil {
		return nil, err
	}
	if len(tree.Problems) > 0 {
		return nil, &Refused{Act: "read " + m.path, Problems: tree.Problems}
	}
	resources, err := manifest.Hash(ctx, m.fsys, tree.Files, manifest.Serialization{Method: manifest.Files, Algorithm: manifest.SHA256}, r.options())
	if err != nil {
		return nil, refuse("read "+m.path, err)
	}
	return &Opened{FS: m.fsys, Single: m.single, Files: tree.Files, Resources: resources, Close: m.close}, nil
}

// ReadSmall reads a file that has at most limit bytes.
func ReadSmall(path string, limit int64) ([]byte, error) { return readSmall(path, limit) }
