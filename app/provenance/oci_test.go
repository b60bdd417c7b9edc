package provenance

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// push puts the files into store as an artifact with one layer each, under a tag.
func push(t *testing.T, store oras.Target, files map[string]string, mediaType, tag string) ocispec.Descriptor {
	t.Helper()
	ctx := context.Background()
	var layers []ocispec.Descriptor
	for name, text := range files {
		d := content.NewDescriptorFromBytes(mediaType, []byte(text))
		if err := store.Push(ctx, d, strings.NewReader(text)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
			t.Fatal(err)
		}
		d.Annotations = map[string]string{modelPackPath: name}
		layers = append(layers, d)
	}
	d, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, "application/vnd.cncf.model.manifest.v1+json", oras.PackManifestOptions{Layers: layers})
	check(t, err)
	check(t, store.Tag(ctx, d, tag))
	return d
}

const rawWeights = "application/vnd.cncf.model.weight.v1.raw"

func TestArtifacts(t *testing.T) {
	dir := t.TempDir()
	layout, err := oci.New(dir)
	check(t, err)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	repo, err := remote.NewRepository(host + "/models/m1")
	check(t, err)
	repo.PlainHTTP = true
	for name, target := range map[string]struct {
		store oras.Target
		ref   string
		read  bool
	}{
		"layout":   {layout, layoutPrefix + dir + ":v1", true},
		"registry": {repo, registryPrefix + host + "/models/m1:v1", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, small())
			push(t, target.store, small(), rawWeights, "v1")
			if _, err := b.verify(VerifyOptions{Model: target.ref}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no signature is attached") {
				t.Errorf("unsigned: %v", err)
			}
			s, err := b.sign(SignOptions{Model: target.ref})
			if err != nil {
				t.Fatal(err)
			}
			v, err := b.verify(VerifyOptions{Model: target.ref})
			if err != nil {
				t.Fatal(err)
			}
			if s.Root != v.Root || v.Files != 4 || (len(v.Warnings) == 0) != target.read {
				t.Errorf("signed %+v\nverified %+v", s, v)
			}
			// The signature of the artifact is that of the same files in a directory.
			sig := filepath.Join(t.TempDir(), "x.sig")
			_, err = b.sign(SignOptions{Model: target.ref, Signature: sig})
			check(t, err)
			if d, err := b.verify(VerifyOptions{Signature: sig}); err != nil || d.Root != v.Root {
				t.Errorf("as a directory: %+v %v", d, err)
			}
			// A second signature, of somebody else, is looked at and told of.
			other := newBench(t, small())
			_, err = other.sign(SignOptions{Model: target.ref})
			check(t, err)
			if v, err = b.verify(VerifyOptions{Model: target.ref}); err != nil || !strings.Contains(strings.Join(v.Warnings, " "), "another signature is attached") {
				t.Errorf("%+v %v", v, err)
			}
			if _, err := newBench(t, nil).verify(VerifyOptions{Model: target.ref}); !errors.Is(err, signing.ErrUntrusted) {
				t.Errorf("by nobody who is trusted: %v", err)
			}
			// The signature of one artifact on another.
			changed := small()
			changed["config.json"] = "[]"
			push(t, target.store, changed, rawWeights, "v2")
			evil := strings.TrimSuffix(target.ref, "v1") + "v2"
			if _, err := b.verify(VerifyOptions{Model: evil, Signature: sig}); err == nil || !strings.Contains(err.Error(), `"config.json": changed`) {
				t.Errorf("another artifact: %v", err)
			}
			for says, o := range map[string]SignOptions{
				"method files": {Model: target.ref, Method: manifest.Shards}, "not found": {Model: strings.TrimSuffix(target.ref, "v1") + "v9"},
				"write oci": {Model: strings.TrimSuffix(target.ref, ":v1")},
			} {
				if _, err := b.sign(o); err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want %q", err, says)
				}
			}
		})
	}
	// A blob that was changed in the layout is not what its name says.
	b := newBench(t, small())
	ref := layoutPrefix + dir + ":v1"
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	check(t, err)
	for _, path := range blobs {
		if data, _ := os.ReadFile(path); string(data) == "weights" {
			check(t, os.Chmod(path, 0o600))
			check(t, os.WriteFile(path, []byte("Weights"), 0o600))
		}
	}
	sig := filepath.Join(t.TempDir(), "x.sig")
	_, err = b.sign(SignOptions{Signature: sig})
	check(t, err)
	if _, err := b.verify(VerifyOptions{Model: ref, Signature: sig}); !errors.Is(err, ErrRefused) {
		t.Errorf("a changed blob: %v", err)
	}
	// Names of layers that lead out, and archives.
	push(t, layout, map[string]string{"../evil": "x"}, rawWeights, "v3")
	if _, err := b.sign(SignOptions{Model: layoutPrefix + dir + ":v3"}); !errors.Is(err, ErrRefused) {
		t.Errorf("a name that leads out: %v", err)
	}
	push(t, layout, map[string]string{"all": "x"}, "application/vnd.cncf.model.weight.v1.tar+gzip", "v4")
	if r, err := b.sign(SignOptions{Model: layoutPrefix + dir + ":v4"}); err != nil || !strings.Contains(strings.Join(r.Warnings, " "), "is an archive") {
		t.Errorf("an archive: %+v %v", r, err)
	}
	if _, err := b.sign(SignOptions{Model: layoutPrefix + t.TempDir() + ":v1"}); err == nil {
		t.Error("an empty folder was taken for a layout")
	}
}
