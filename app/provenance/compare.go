package provenance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/palladium-guard/palladium/weights/compare"
)

// Weights names a model to be compared.
type Weights struct {
	Path      string // safetensors or GGUF file, or a directory of shards
	Tokenizer string // tokenizer.json; the one beside the weights when empty
}

// Compare says whether the weights of one model are derived from those of the other one. A model is read from its files
// as they are; nothing is loaded.
func Compare(ctx context.Context, a, b Weights, o compare.Options) (*compare.Report, error) {
	ma, closeA, err := a.open()
	if err != nil {
		return nil, err
	}
	defer closeA()
	mb, closeB, err := b.open()
	if err != nil {
		return nil, err
	}
	defer closeB()
	r, err := compare.Compare(ctx, ma, mb, o)
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", a.Path, b.Path, err)
	}
	return r, nil
}

// open opens the files of a model and reads their headers.
func (w *Weights) open() (m *compare.Model, done func(), err error) {
	paths, index, err := w.files()
	if err != nil {
		return nil, nil, err
	}
	var open []*os.File
	closeAll := func() {
		for _, f := range open {
			_ = f.Close() // opened for reading
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	var sources []compare.Source
	for _, p := range paths {
		f, info, err := OpenRegular(p)
		if err != nil {
			return nil, nil, fmt.Errorf("open the weights: %w", err)
		}
		open = append(open, f)
		sources = append(sources, compare.Source{Name: p, Data: f, Size: info.Size()})
	}
	vocab, err := w.vocabulary(filepath.Dir(paths[0]))
	if err != nil {
		return nil, nil, err
	}
	if m, err = compare.Open(sources, vocab); err != nil {
		return nil, nil, fmt.Errorf("read the weights of %s: %w", w.Path, err)
	}
	have := make(map[string]bool, len(m.Tensors))
	for i := range m.Tensors {
		have[m.Tensors[i].Name] = true
	}
	for name := range index {
		if !have[name] {
			return nil, nil, fmt.Errorf("read the weights of %s: its index lists the tensor %q, which is in none of its files: fetch the model anew", w.Path, name)
		}
	}
	return m, closeAll, nil
}

// files returns the files that hold the weights, and the index of a sharded model.
func (w *Weights) files() (paths []string, index map[string]string, err error) {
	info, err := os.Stat(w.Path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the weights: %w", err)
	}
	if !info.IsDir() {
		paths, err = siblings(w.Path)
		return paths, nil, err
	}
	if index, err = readIndex(filepath.Join(w.Path, "model.safetensors.index.json")); err != nil {
		return nil, nil, err
	}
	for _, file := range index {
		if !filepath.IsLocal(file) {
			return nil, nil, fmt.Errorf("open the weights: the index of %s names %q, which is not in it", w.Path, file)
		}
		if p := filepath.Join(w.Path, file); !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	for _, pattern := range []string{"*.safetensors", "*.gguf"} {
		if len(paths) > 0 {
			break
		}
		if paths, err = filepath.Glob(filepath.Join(escape(w.Path), pattern)); err != nil {
			return nil, nil, fmt.Errorf("open the weights: %w", err)
		}
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("open the weights: %s: %w: there is no such file in the folder", w.Path, compare.ErrFormat)
	}
	slices.Sort(paths)
	return paths, index, nil
}

// escape makes a path match itself in a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// siblings returns all shards of the model that a shard, such as m-00001-of-00003.gguf, belongs to.
func siblings(path string) ([]string, error) {
	dir, name := filepath.Split(path)
	shard := regexp.MustCompile(`^(.*-)\d{5}(-of-\d{5}\.(?:safetensors|gguf))$`).FindStringSubmatch(name)
	if shard == nil {
		return []string{path}, nil
	}
	paths, err := filepath.Glob(escape(dir) + escape(shard[1]) + "[0-9][0-9][0-9][0-9][0-9]" + escape(shard[2]))
	if err != nil {
		return nil, fmt.Errorf("open the weights: %w", err)
	}
	return paths, nil
}

// The longest files beside the weights that are read, in bytes.
const (
	maxIndex     = 64 << 20
	maxTokenizer = 256 << 20
)

func readIndex(path string) (map[string]string, error) {
	b, err := readAtMost(path, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("read the index %s: %w", path, err)
	}
	return index.Files, nil
}

func readAtMost(path string, most int64) ([]byte, error) {
	f, _, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return b, err
}

// vocabulary returns the token of each row of the embedding, or nil when there is no tokenizer.
func (w *Weights) vocabulary(dir string) ([]string, error) {
	path := w.Tokenizer
	if path == "" {
		path = filepath.Join(dir, "tokenizer.json")
	}
	b, err := readAtMost(path, maxTokenizer)
	if errors.Is(err, fs.ErrNotExist) && w.Tokenizer == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tokenizer: %w", err)
	}
	vocab, err := compare.ParseVocabulary(b)
	if err != nil {
		return nil, fmt.Errorf("read the tokenizer %s: %w", path, err)
	}
	return vocab, nil
}
