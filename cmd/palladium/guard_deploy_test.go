//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// podManifest is what the test needs of a pod.
type podManifest struct {
	Spec struct {
		InitContainers []container `yaml:"initContainers"`
		Containers     []container `yaml:"containers"`
	} `yaml:"spec"`
}

type container struct {
	Name    string   `yaml:"name"`
	Command []string `yaml:"command"`
	Args    []string `yaml:"args"`
	Mounts  []struct {
		Path     string `yaml:"mountPath"`
		ReadOnly bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

// node stands in for a node: it runs the containers of a pod as the manifest says, with the mounts in a folder.
type node struct {
	t          *testing.T
	root       string
	palladium  string
	containers []container // in the order in which they start
}

// at maps a path in a container to one in the folder.
func (n *node) at(c *container, arg string) string {
	for _, m := range c.Mounts {
		if i := strings.Index(arg, m.Path+"/"); i >= 0 {
			return arg[:i] + n.root + arg[i:]
		}
	}
	return arg
}

// run runs a container. Mounts that the manifest calls read-only cannot be written to meanwhile, but by root.
func (n *node) run(name string) (status int, said string) {
	n.t.Helper()
	for i := range n.containers {
		c := &n.containers[i]
		if c.Name != name {
			continue
		}
		var args []string
		for _, a := range append(append([]string{}, c.Command...), c.Args...) {
			for _, word := range strings.SplitAfter(a, " ") { // of a shell's line
				args = append(args, n.at(c, word))
			}
		}
		if len(c.Command) > 0 { // the line of the shell is one argument
			args = []string{args[0], args[1], strings.Join(args[2:], "")}
		} else {
			args = append([]string{n.palladium}, args...) // the image's entry point
		}
		for _, m := range c.Mounts {
			if m.ReadOnly {
				n.mode(m.Path, 0o222, false)
			}
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")} // no home, as in the image
		out, err := cmd.CombinedOutput()
		for _, m := range c.Mounts {
			if m.ReadOnly {
				n.mode(m.Path, 0o200, true)
			}
		}
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			n.t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	n.t.Fatalf("the manifest has no container %q", name)
	return 0, ""
}

func (n *node) mode(path string, bits fs.FileMode, set bool) {
	err := filepath.WalkDir(filepath.Join(n.root, path), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if set {
			return os.Chmod(path, info.Mode()|bits)
		}
		return os.Chmod(path, info.Mode()&^bits)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// The very commands of the manifest fetch a model, begin the ledger, and let the model through or stop the pod.
func TestGuardManifest(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes", "model-guard.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m podManifest
	if err := yaml.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	palladium := program(t)
	n := &node{t: t, root: t.TempDir(), palladium: palladium, containers: m.Spec.InitContainers}
	model, public := trusted(t, palladium)
	key, err1 := os.ReadFile(public)
	policy, err2 := exec.Command(palladium, "model", "policy", "show").Output()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	mkdir := func(path string) string {
		path = filepath.Join(n.root, path)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	trust, ledger, ledgerKey := mkdir("trust"), mkdir("ledger"), mkdir("ledger-key")
	if err := errors.Join(os.CopyFS(mkdir("models/m1"), os.DirFS(model)), os.WriteFile(filepath.Join(trust, "release.pub"), key, 0o444),
		os.WriteFile(filepath.Join(trust, "load.yaml"), policy, 0o444)); err != nil {
		t.Fatal(err)
	}
	mkdir("verified")
	// The step that the manifest's comment tells the operator to do once.
	log := filepath.Join(ledger, "log")
	if out, err := exec.Command(palladium, "ledger", "init", "--name", "example.com/loads", "--key", filepath.Join(ledgerKey, "ledger.key"),
		"--public", filepath.Join(n.root, "ledger.pub"), log).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fetched := func() {
		t.Helper()
		if err := os.RemoveAll(mkdir("verified/m1")); err != nil { // an empty volume for each pod
			t.Fatal(err)
		}
		if status, said := n.run("fetch"); status != 0 {
			t.Fatalf("fetch ended with %d: %s", status, said)
		}
	}
	entries := func() string {
		t.Helper()
		out, err := exec.Command(palladium, "ledger", "show", "--key", filepath.Join(n.root, "ledger.pub"), log).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	fetched()
	if status, said := n.run("guard"); status != 0 || !strings.Contains(entries(), "entry 0: palladium/load/v1") {
		t.Fatalf("a model that is as signed: status %d: %s", status, said)
	}
	evil := filepath.Join(n.root, "models", "m1", "modeling.py")
	if err := os.WriteFile(evil, []byte("import os"), 0o644); err != nil {
		t.Fatal(err)
	}
	fetched()
	if status, said := n.run("guard"); status != 3 || !strings.Contains(said, "modeling.py") || !strings.Contains(entries(), "entry 1: palladium/refusal/v1") {
		t.Errorf("a model with code that nobody signed: status %d: %s", status, said)
	}
	if err := errors.Join(os.Remove(evil), os.Rename(log, log+".away")); err != nil {
		t.Fatal(err)
	}
	fetched()
	if status, said := n.run("guard"); status != 1 || !strings.Contains(said, "ledger init") {
		t.Errorf("without its ledger: status %d: %s", status, said)
	}
	// What the server is given is what was checked, and cannot be written to.
	server := m.Spec.Containers[0]
	if len(server.Mounts) == 0 || !server.Mounts[0].ReadOnly || !strings.HasPrefix(server.Args[1], server.Mounts[0].Path+"/") {
		t.Errorf("the server loads %v from %+v", server.Args, server.Mounts)
	}
}
