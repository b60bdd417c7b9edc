package provenance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/palladium-guard/palladium/store"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// How OCI artifacts are named, and what names the files in them.
const (
	layoutPrefix   = "oci-layout:" // DIR:TAG or DIR@DIGEST
	registryPrefix = "oci://"      // REGISTRY/NAME:TAG or @DIGEST
	modelPackPath  = "org.cncf.model.filepath"
)

// Limits on what an artifact may hold.
const (
	maxArtifactManifest = 16 << 20
	maxAttached         = 64 // signatures that are looked at
)

// IsArtifact reports whether a model is named as an OCI artifact.
func IsArtifact(model string) bool {
	return strings.HasPrefix(model, layoutPrefix) || strings.HasPrefix(model, registryPrefix)
}

// artifact is an OCI artifact: a model whose files are its layers, or the layers as they are where those are archives.
type artifact struct {
	model
	store    oras.GraphTarget
	subject  ocispec.Descriptor
	local    bool // the content is here, and read
	warnings []string
}

// openArtifact resolves the name and reads the artifact's manifest.
func openArtifact(ctx context.Context, name string) (*artifact, error) {
	a := &artifact{model: model{path: name, close: func() error { return nil }}}
	reference := ""
	if rest, ok := strings.CutPrefix(name, layoutPrefix); ok {
		dir, tag, ok := cutReference(rest)
		if !ok {
			return nil, fmt.Errorf("open the artifact: %s does not end in a tag or digest: write oci-layout:DIR:TAG", name)
		}
		if _, err := os.Stat(filepath.Join(dir, ocispec.ImageLayoutFile)); err != nil {
			return nil, fmt.Errorf("open the artifact: %s is no OCI image layout: %w", dir, err)
		}
		store, err := oci.NewWithContext(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("open the artifact: %w", err)
		}
		a.store, a.local, reference, a.name = store, true, tag, filepath.Base(dir)
	} else {
		repo, err := remote.NewRepository(strings.TrimPrefix(name, registryPrefix))
		if err != nil {
			return nil, fmt.Errorf("open the artifact: %w: write oci://REGISTRY/NAME:TAG", err)
		}
		if reference = repo.Reference.Reference; reference == "" {
			return nil, fmt.Errorf("open the artifact: %s does not end in a tag or digest: write oci://REGISTRY/NAME:TAG", name)
		}
		repo.PlainHTTP = loopback(repo.Reference.Host())
		client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
		if known, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
			client.Credential = credentials.Credential(known)
		}
		repo.Client, a.store = client, repo
		a.name = repo.Reference.Repository[strings.LastIndexByte(repo.Reference.Repository, '/')+1:]
	}
	var err error
	if a.subject, err = a.store.Resolve(ctx, reference); err != nil {
		return nil, fmt.Errorf("open the artifact %s: %w", name, err)
	}
	return a, a.layers(ctx)
}

// cutReference splits DIR:TAG or DIR@DIGEST.
func cutReference(s string) (dir, reference string, ok bool) {
	if dir, reference, ok = strings.Cut(s, "@"); ok {
		return dir, reference, dir != "" && reference != ""
	}
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || strings.ContainsAny(s[i+1:], `/\`) || s[i+1:] == "" {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// layers names the files of the artifact.
func (a *artifact) layers(ctx context.Context) error {
	data, err := a.fetch(ctx, a.subject, maxArtifactManifest)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read the manifest of %s: %w", a.path, err)
	}
	if len(m.Layers) == 0 {
		return fmt.Errorf("read the manifest of %s: %w: it has no layers; an index of several artifacts is signed one by one", a.path, ErrRefused)
	}
	files := blobFS{ctx: ctx, store: a.store, blobs: map[string]ocispec.Descriptor{}}
	seen := map[string]bool{}
	for _, l := range m.Layers {
		if l.Digest.Algorithm() != "sha256" || l.Digest.Validate() != nil || l.Size < 0 {
			return fmt.Errorf("read the manifest of %s: %w: a layer's digest is not sha256", a.path, ErrRefused)
		}
		name := cmp.Or(l.Annotations[modelPackPath], l.Annotations[ocispec.AnnotationTitle], "sha256-"+l.Digest.Encoded())
		if !fs.ValidPath(name) || name == "." || seen[name] {
			return fmt.Errorf("read the manifest of %s: %w: a layer is named %q, which is no plain relative path or stands twice", a.path, ErrRefused, name)
		}
		if t := l.MediaType; strings.Contains(t, "tar") || strings.HasSuffix(t, "gzip") || strings.HasSuffix(t, "zstd") {
			a.warnings = append(a.warnings, fmt.Sprintf("layer %s is an archive: the signature is over the archive, not over the files in it", name))
		}
		seen[name], files.blobs[l.Digest.Encoded()] = true, l
		a.blobs = append(a.blobs, manifest.File{Path: name, At: l.Digest.Encoded(), Info: blobInfo{l}})
	}
	a.fsys = files
	return nil
}

func (a *artifact) fetch(ctx context.Context, d ocispec.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("read %s of %s: %w: it has %d bytes, more than %d", d.Digest, a.path, ErrRefused, d.Size, limit)
	}
	data, err := content.FetchAll(ctx, a.store, d) // checks size and digest
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", d.Digest, a.path, err)
	}
	return data, nil
}

// stated returns the digests that the artifact's manifest states. Who reads a layer by its digest gets these bytes or
// an error, so that a registry need not be read to sign what it holds.
func (a *artifact) stated() ([]manifest.Resource, error) {
	var out []manifest.Resource
	for i := range a.blobs {
		d := a.blobs[i].Info.(blobInfo).Descriptor
		var sum []byte
		if _, err := fmt.Sscanf(d.Digest.Encoded(), "%x", &sum); err != nil {
			return nil, fmt.Errorf("read the digest of %s: %w", a.blobs[i].Path, err)
		}
		out = append(out, manifest.Resource{Path: a.blobs[i].Path, Digest: sum})
	}
	manifest.SortReference(out)
	return out, nil
}

// signArtifact signs an artifact and attaches the signature to it, or writes it to a file when one is named.
func signArtifact(ctx context.Context, o SignOptions) (*Report, error) {
	if cmp.Or(o.Method, manifest.Files) != manifest.Files || cmp.Or(o.Algorithm, manifest.SHA256) != manifest.SHA256 {
		return nil, errors.New("sign the artifact: the layers of an artifact are signed with method files and sha256")
	}
	a, err := openArtifact(ctx, o.Model)
	if err != nil {
		return nil, err
	}
	if !a.local {
		if a.given, err = a.stated(); err != nil {
			return nil, err
		}
	}
	o.Reading.Cache = nil
	r, data, err := signModel(ctx, &a.model, "", &o)
	if err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, a.warnings...)
	if o.Signature != "" {
		if err := store.ReplaceBytes(o.Signature, 0o644, data); err != nil {
			return nil, fmt.Errorf("write the signature: %w", err)
		}
		r.Signature = o.Signature
		return r, nil
	}
	layer := content.NewDescriptorFromBytes(signing.BundleMediaType, data)
	if err := a.store.Push(ctx, layer, bytes.NewReader(data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return nil, fmt.Errorf("attach the signature: %w", err)
	}
	d, err := oras.PackManifest(ctx, a.store, oras.PackManifestVersion1_1, signing.BundleMediaType, oras.PackManifestOptions{
		Subject: &a.subject, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return nil, fmt.Errorf("attach the signature: %w", err)
	}
	r.Signature = d.Digest.String() + ", attached to " + a.subject.Digest.String()
	return r, nil
}

// verifyArtifact looks at every signature that is attached to the artifact, or at the file that is named. One that is
// trusted and fits suffices; the others are told of as warnings.
func verifyArtifact(ctx context.Context, o VerifyOptions) (*Report, error) {
	a, err := openArtifact(ctx, o.Model)
	if err != nil {
		return nil, err
	}
	if !a.local {
		if a.given, err = a.stated(); err != nil {
			return nil, err
		}
		a.warnings = append(a.warnings, "the layers were not read: their digests are those that were signed, and are checked by whoever fetches them by digest")
	}
	o.Reading.Cache = nil
	attached := map[string][]byte{}
	var names []string
	if o.Signature != "" {
		data, err := readSignature(o.Signature)
		if err != nil {
			return nil, fmt.Errorf("read the signature: %w", err)
		}
		attached[o.Signature], names = data, []string{o.Signature}
	} else if names, err = a.attached(ctx, attached); err != nil {
		return nil, err
	}
	var refusals []error
	var good *Report
	for _, name := range names {
		r, err := a.try(ctx, name, attached[name], &o, good != nil)
		switch {
		case err != nil:
			refusals = append(refusals, err)
		case good == nil:
			good = r
		}
	}
	if good == nil {
		if len(refusals) == 0 {
			return nil, fmt.Errorf("verify the artifact %s: %w: no signature is attached to it", a.path, ErrRefused)
		}
		return nil, errors.Join(refusals...)
	}
	for _, err := range refusals {
		good.Warnings = append(good.Warnings, "another signature is attached: "+err.Error())
	}
	good.Warnings = append(good.Warnings, a.warnings...)
	return good, nil
}

// try checks one signature, and the layers against it unless that was done.
func (a *artifact) try(ctx context.Context, name string, data []byte, o *VerifyOptions, signatureOnly bool) (*Report, error) {
	v, err := verifyBundle(data, name, o.Trust)
	if err != nil || signatureOnly {
		return nil, err
	}
	r, err := verifyModel(ctx, &a.model, "", v, o)
	if err != nil {
		return nil, err
	}
	r.Signature = name
	return r, nil
}

// attached fetches the signatures that refer to the artifact, by digest.
func (a *artifact) attached(ctx context.Context, into map[string][]byte) (names []string, err error) {
	nodes, err := a.store.Predecessors(ctx, a.subject)
	if err != nil {
		return nil, fmt.Errorf("list the signatures of %s: %w", a.path, err)
	}
	for _, n := range nodes {
		if n.MediaType != ocispec.MediaTypeImageManifest {
			continue
		}
		data, err := a.fetch(ctx, n, maxArtifactManifest)
		if err != nil {
			return nil, err
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(data, &m); err != nil || m.ArtifactType != signing.BundleMediaType || m.Subject == nil || m.Subject.Digest != a.subject.Digest {
			continue
		}
		for _, l := range m.Layers {
			if len(names) == maxAttached {
				a.warnings = append(a.warnings, fmt.Sprintf("more than %d signatures are attached; the others were not looked at", maxAttached))
				return names, nil
			}
			name := l.Digest.String()
			if into[name], err = a.fetch(ctx, l, signing.MaxBundle); err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// blobFS shows the layers of an artifact as files, by the hex of their digests.
type blobFS struct {
	ctx   context.Context // of the one operation that it serves
	store content.Fetcher
	blobs map[string]ocispec.Descriptor
}

// Open implements fs.FS. What is read is compared with the digest at its end.
func (b blobFS) Open(name string) (fs.File, error) {
	d, ok := b.blobs[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	in, err := b.store.Fetch(b.ctx, d)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &blob{ReadCloser: in, info: blobInfo{d}}, nil
}

// Stat implements fs.StatFS. A blob never changes.
func (b blobFS) Stat(name string) (fs.FileInfo, error) {
	d, ok := b.blobs[name]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return blobInfo{d}, nil
}

type blob struct {
	io.ReadCloser
	info blobInfo
}

// Stat implements fs.File.
func (b *blob) Stat() (fs.FileInfo, error) { return b.info, nil }

type blobInfo struct{ ocispec.Descriptor }

// Name implements fs.FileInfo, as do the following.
func (b blobInfo) Name() string { return b.Digest.Encoded() }

// Size is that of the layer.
func (b blobInfo) Size() int64 { return b.Descriptor.Size }

// Mode is that of a regular file.
func (b blobInfo) Mode() fs.FileMode { return 0o444 }

// ModTime is zero: content that is named by its digest has no history.
func (b blobInfo) ModTime() time.Time { return time.Time{} }

// IsDir reports false.
func (b blobInfo) IsDir() bool { return false }

// Sys returns nil.
func (b blobInfo) Sys() any { return nil }
