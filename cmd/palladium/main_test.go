package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the program as a user does; the test binary stands in for it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"palladium": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true, Setup: truncate,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a program that must end with one of the given statuses: exits 0|3 PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want := strings.Split(args[0], "|")
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS|STATUS PROGRAM ARG...")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if !slices.Contains(want, strconv.Itoa(got)) {
		ts.Fatalf("exit status %d, want %s; stderr:\n%s", got, args[0], ts.ReadFile("stderr"))
	}
}

// truncate puts cut.jsonl.gz into the work directory: exchanges in a gzip file that ends too early.
func truncate(env *testscript.Env) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 2000 {
		fmt.Fprintf(z, `{"kind":"exchange","id":"%d","time":"2026-05-03T10:00:00Z","account":"a%d"}`+"\n", i, i*i%97)
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "cut.jsonl.gz"), b.Bytes()[:b.Len()/2], 0o600)
}
