package pedigree

import (
	"context"
	"os/exec"
	"strings"

	"github.com/palladium-guard/palladium/weights/lineage"
)

// sourceOf asks git for the state of the current folder; nil when it is in no repository or git is not there.
func sourceOf(ctx context.Context) *lineage.Source {
	git := func(args ...string) (string, bool) {
		// A repository must not have a program of its own run by being looked at.
		c := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks"}, args...)...)
		out, err := c.Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	commit, ok := git("rev-parse", "--verify", "HEAD")
	if !ok {
		return nil
	}
	s := &lineage.Source{Commit: commit}
	if status, ok := git("status", "--porcelain", "--ignore-submodules=dirty"); ok {
		s.Modified = status != ""
	}
	if uri, ok := git("remote", "get-url", "origin"); ok && strings.Contains(uri, "://") && !strings.HasPrefix(uri, "file:") {
		s.URI = hideUser(uri)
	}
	return s
}
