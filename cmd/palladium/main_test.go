package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/palladium-guard/palladium/store/catalog"
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "weights": weights, "catalog": someCatalog, "mode": mode},
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

// weights writes a small model of random weights, and with DRIFT as much of others added: weights FILE SEED DRIFT.
func weights(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: weights FILE SEED DRIFT")
	}
	seed, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	drift, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	const hidden, wide, words = 64, 192, 300
	own, other := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1))
	var body []byte
	header := map[string]any{}
	add := func(name string, rows, cols int) {
		at := len(body)
		for range rows * cols {
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(float32(own.NormFloat64()+drift*other.NormFloat64())))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": []int{rows, cols}, "data_offsets": []int{at, len(body)}}
	}
	add("model.embed_tokens.weight", words, hidden)
	for i := range 4 {
		layer := fmt.Sprintf("model.layers.%d.", i)
		for _, name := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"} {
			add(layer+name+".weight", hidden, hidden)
		}
		add(layer+"mlp.gate_proj.weight", wide, hidden)
		add(layer+"mlp.up_proj.weight", wide, hidden)
		add(layer+"mlp.down_proj.weight", hidden, wide)
	}
	text, err := json.Marshal(header)
	ts.Check(err)
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(data, body...), 0o600))
}

// someCatalog makes a catalog with a few rows: catalog FILE.
func someCatalog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: catalog FILE")
	}
	ctx := context.Background()
	c, err := catalog.Open(ctx, catalog.Config{URL: ts.MkAbs(args[0])}, nil, true)
	ts.Check(err)
	ts.Check(c.PutAccounts(ctx, []catalog.Account{{ID: "a1", Verified: []string{}}}))
	ts.Check(c.Append(ctx, &catalog.Event{Actor: "system", Kind: "test", Subject: "account:a1", LedgerIndex: -1}))
	ts.Check(c.Close())
}

// mode checks the permissions of a file: mode FILE OCTAL.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE OCTAL")
	}
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(st.Mode().Perm()), 8); got != args[1] && runtime.GOOS != "windows" {
		ts.Fatalf("%s has the permissions %s", args[0], got)
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
