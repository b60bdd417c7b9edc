package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/weights/inspect"
	"github.com/palladium-guard/palladium/weights/inspect/archive"
	"github.com/palladium-guard/palladium/weights/inspect/graph"
	"github.com/palladium-guard/palladium/weights/inspect/pickle"
	"github.com/palladium-guard/palladium/weights/inspect/source"
	"github.com/palladium-guard/palladium/weights/inspect/tensor"
)

// Inspection is what inspecting files and folders has shown.
type Inspection struct {
	Verdict inspect.Verdict  `json:"verdict"` // of the worst file
	Files   []inspect.Report `json:"files"`   // in the order of their paths
}

// Inspector returns the inspector of all formats that this program knows, with the rules that it carries.
func Inspector() (*inspect.Inspector, error) {
	named, err := pickle.ParseRules(rules.Model())
	if err != nil {
		return nil, err
	}
	objects := func(f *inspect.File, at int64) { pickle.ScanAt(f, named, at) }
	return &inspect.Inspector{Limits: inspect.DefaultLimits(), Formats: slices.Concat(
		[]inspect.Format{pickle.Format(named)}, archive.Formats(), tensor.Formats(objects), graph.Formats(source.FindKeras), source.Formats(),
	)}, nil
}

// Inspect looks into files, and into all files below folders. Each is read by itself, in no more memory than the limits
// allow. A path that cannot be found is an error; what cannot be read below it is a finding.
func Inspect(ctx context.Context, paths []string) (*Inspection, error) {
	in, err := Inspector()
	if err != nil {
		return nil, err
	}
	result := &Inspection{Files: []inspect.Report{}}
	reported := map[string]bool{}
	add := func(r inspect.Report) {
		result.Verdict = max(result.Verdict, r.Verdict)
		result.Files = append(result.Files, r)
		reported[r.Path] = true
	}
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil { // what is named may be a link
			return nil, fmt.Errorf("inspect %s: nothing was inspected: %w", p, err)
		}
		root, err := filepath.EvalSymlinks(p)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			shown := p
			if below, err := filepath.Rel(root, path); err == nil {
				shown = filepath.Join(p, below)
			}
			switch {
			case reported[shown]: // named twice, or named and below a folder that is named
				return ctx.Err()
			case err != nil:
				add(alone(shown, inspect.RuleUnreadable, inspect.Unknown, "cannot be read"))
				return nil
			case d.IsDir():
				return ctx.Err()
			}
			r, err := inspectFile(ctx, in, root, path, shown)
			if err != nil {
				return err
			}
			add(r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(result.Files, func(a, b inspect.Report) int { return cmp.Compare(a.Path, b.Path) })
	return result, nil
}

// alone is the report on what is not opened.
func alone(path string, rule inspect.Rule, v inspect.Verdict, text string) inspect.Report {
	return inspect.Report{Path: path, Verdict: v, Findings: []inspect.Finding{{Rule: rule, Verdict: v, Offset: -1, Text: text}}}
}

func inspectFile(ctx context.Context, in *inspect.Inspector, root, path, shown string) (inspect.Report, error) {
	if target, err := filepath.EvalSymlinks(path); err != nil {
		return alone(shown, inspect.RuleLink, inspect.Unknown, "is a link that leads nowhere"), nil
	} else if target != path {
		rel, err := filepath.Rel(root, target)
		if err != nil || !filepath.IsLocal(rel) {
			return alone(shown, inspect.RuleLink, inspect.Suspicious, "is a link that leads out of the folder; its target is not inspected"), nil
		}
	}
	// A pipe or a device must neither block nor be read: whatever stood there a moment ago, the opened file decides.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return alone(shown, inspect.RuleUnreadable, inspect.Unknown, "cannot be opened: "+reason(err)), nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return alone(shown, inspect.RuleUnreadable, inspect.Unknown, "cannot be read: "+reason(err)), nil
	}
	if info.IsDir() {
		return alone(shown, inspect.RuleLink, inspect.Unknown, "is a link to a folder, which is inspected where it stands"), nil
	}
	if !info.Mode().IsRegular() {
		return alone(shown, inspect.RuleLink, inspect.Suspicious, "is no regular file"), nil
	}
	r, err := in.Inspect(ctx, shown, f, info.Size())
	if err != nil {
		return r, err
	}
	if now, err := f.Stat(); err == nil && (now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime())) {
		r.Verdict = max(r.Verdict, inspect.Unknown)
		r.Findings = append(r.Findings, inspect.Finding{Rule: inspect.RuleUnreadable, Verdict: inspect.Unknown, Offset: -1, Text: "the file changed while it was read"})
	}
	return r, nil
}

// reason is an error without the path, which is given beside it.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprint(p.Err)
	}
	return err.Error()
}
