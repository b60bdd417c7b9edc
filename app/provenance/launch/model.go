package launch

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium/app/provenance"
)

// models returns what is to be checked: the models named, or the one path among the command's arguments that is there.
func models(o *Options) ([]string, error) {
	if len(o.Models) > 0 {
		if o.Copy != "" {
			for _, m := range o.Models {
				if len(o.Command) > 0 && slices.Equal(replaceModel(slices.Clone(o.Command), m, m+"'"), o.Command) {
					return nil, fmt.Errorf("%w: %s is no argument of it, so that it cannot be given the copy", ErrModel, m)
				}
			}
		}
		return o.Models, nil
	}
	if len(o.Command) == 0 {
		return nil, fmt.Errorf("%w: there is no command: name the model with --model", ErrModel)
	}
	var found []string
	for _, arg := range o.Command[1:] {
		path := arg
		if flag, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(flag, "-") {
			path = value
		}
		if info, err := os.Stat(path); err == nil && (info.IsDir() || info.Mode().IsRegular()) && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	switch len(found) {
	case 1:
		return found, nil
	case 0:
		return nil, fmt.Errorf("%w: none of its arguments is a folder or file that is there: name it with --model", ErrModel)
	}
	return nil, fmt.Errorf("%w: %s are there: name those that are models with --model", ErrModel, strings.Join(found, ", "))
}

// replaceModel puts another path in the place of the model's, wherever it is an argument or the value of a flag.
func replaceModel(command []string, from, to string) []string {
	for i, arg := range command {
		if i == 0 {
			continue
		}
		if arg == from {
			command[i] = to
		} else if flag, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(flag, "-") && value == from {
			command[i] = flag + "=" + to
		}
	}
	return command
}

// clockTick is longer than the steps of the clock by which file systems set times.
const clockTick = 20 * time.Millisecond

// snapshot is the state of each file, folder and link of a model, by path.
type snapshot map[string]string

// take looks at all files. Their content shows only in size, times and inode, of which the kernel sets the time of change
// at every write.
func take(root string) (snapshot, error) {
	s := snapshot{}
	var visit func(path string, depth int) error
	visit = func(path string, depth int) error {
		if depth > 64 {
			return fmt.Errorf("%s: more than 64 folders or links deep", path)
		}
		return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			s[path] = stamp(info)
			if info.Mode()&fs.ModeSymlink == 0 {
				return nil
			}
			target, err := filepath.EvalSymlinks(path)
			if err != nil {
				return nil // a link that leads nowhere: verification says so
			}
			s[path] += " -> " + target
			if _, seen := s[target]; seen {
				return nil
			}
			return visit(target, depth+1)
		})
	}
	return s, visit(root, 0)
}

// settled is take at a moment from which on every write shows. Files are written back, as a write through a memory map
// sets the time of change only when it first touches a page since; and the clock of the file system has moved on since the
// last change.
func settled(ctx context.Context, root string) (snapshot, error) {
	for {
		s, err := take(root)
		if err != nil {
			return nil, err
		}
		last := time.Time{}
		for path := range s {
			at, err := writeBack(path)
			if err != nil {
				return nil, err
			}
			if at.After(last) {
				last = at
			}
		}
		wait := clockTick - time.Since(last)
		if wait <= 0 || wait > clockTick { // a time of change to come is that of another clock
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// differs names a path whose state is another, or returns nothing.
func (s snapshot) differs(now snapshot) string {
	for _, path := range slices.Sorted(maps.Keys(s)) {
		switch state, there := now[path]; {
		case !there:
			return path + " is gone"
		case state != s[path]:
			return path + " was changed"
		}
	}
	for _, path := range slices.Sorted(maps.Keys(now)) {
		if _, there := s[path]; !there {
			return path + " was added"
		}
	}
	return ""
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// copyModel copies a model into a new folder below parent that only this user can open, and takes from it the permission
// to write. Links are followed.
func copyModel(ctx context.Context, model, parent string) (string, error) {
	top, err := os.MkdirTemp(parent, "model-*")
	if err != nil {
		return "", err
	}
	target := filepath.Join(top, filepath.Base(filepath.Clean(model)))
	if err := copyTree(ctx, model, target, 0); err != nil {
		removeCopy(top)
		return "", err
	}
	return target, nil
}

// removeCopy removes a folder that copyModel has made. What cannot be removed stays: it hurts nobody.
func removeCopy(top string) {
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(top)
}

func copyTree(ctx context.Context, from, to string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	switch {
	case depth > 64:
		return fmt.Errorf("%s: more than 64 folders deep", from)
	case info.Mode().IsRegular():
		return copyFile(from, to)
	case !info.IsDir():
		return fmt.Errorf("%s is neither a file nor a folder", from)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(ctx, filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return os.Chmod(to, 0o500)
}

func copyFile(from, to string) error {
	in, _, err := provenance.OpenRegular(from) // it may have become a pipe since it was looked at
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
