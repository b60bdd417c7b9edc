package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/provenance"
	"github.com/palladium-guard/palladium/weights/manifest"
	"github.com/palladium-guard/palladium/weights/signing"
)

// modelCommand groups what is done to a model's files.
func modelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Sign, verify and inspect a model's files",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		modelSign(),
		modelVerify(),
		modelInspect(),
		modelCompare(),
		modelGuard(),
		modelPolicy(),
	)
	return cmd
}

// readingFlags say how a model's files are read. Sign and verify share them.
type readingFlags struct {
	workers int
	cache   string
	quiet   bool
	format  string
}

func (f *readingFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.IntVar(&f.workers, "workers", 0, "files or shards that are hashed at a time; one for each core when not given")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress")
	fl.StringVar(&f.format, "format", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func (f *readingFlags) check() error {
	if f.format != "text" && f.format != "json" {
		return usageError(fmt.Errorf("unknown format %q", f.format), "use text or json")
	}
	return nil
}

// scopeFlags say which files of a model count.
type scopeFlags struct {
	scope provenance.Scope
}

func (f *scopeFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.scope.Ignore, "ignore", nil, "leave out this `PATH` and all below it, relative to the model; can be given several times")
	fl.StringArrayVar(&f.scope.AllowUnsigned, "unsafe-allow-unsigned", nil,
		"accept this loadable file, by its exact `PATH`, although no signature covers it: who can write to it can change what the model does")
	fl.BoolVar(&f.scope.LinksAnywhere, "unsafe-links-anywhere", false, "where symbolic links are followed, follow those that lead out of the model as well")
}

// hashBar tells the operator how far hashing is. Its method is never called twice at once.
type hashBar struct {
	w       io.Writer
	width   int // columns of the terminal; 0 when w is none
	started time.Time
	shown   time.Time
	drawn   bool
}

func newHashBar(w io.Writer) *hashBar {
	now := time.Now()
	b := &hashBar{w: w, started: now, shown: now}
	if width, ok := terminal(w); ok && os.Getenv("TERM") != "dumb" {
		b.width = width
	}
	return b
}

func (b *hashBar) progress(p manifest.Progress) {
	every := lineEvery
	if b.width > 0 {
		every = drawEvery
	}
	now := time.Now()
	if now.Sub(b.shown) < every || p.Total == 0 {
		return
	}
	b.shown = now
	share := float64(p.Done) / float64(p.Total)
	text := fmt.Sprintf("hashing %3.0f %%", 100*share)
	if b.width >= 100 {
		const cells = 24
		full := int(share * cells)
		text += " [" + strings.Repeat("=", full) + strings.Repeat(" ", cells-full) + "]"
	}
	text += " " + size(p.Done) + " of " + size(p.Total)
	if s := now.Sub(b.started).Seconds(); s > 0.5 {
		read := float64(p.Done - p.Recalled)
		text += ", " + size(int64(read/s)) + "/s"
		if left := float64(p.Total-p.Done) / (float64(p.Done) / s); share > 0.01 {
			text += ", " + time.Duration(left*float64(time.Second)).Round(time.Second).String() + " left"
		}
	}
	if b.width == 0 {
		fmt.Fprintln(b.w, text)
		return
	}
	b.drawn = true
	fmt.Fprintf(b.w, "\r\x1b[K%s", text[:min(len(text), b.width-1)])
}

func (b *hashBar) close() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// size writes bytes in decimal units.
func size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB", "PB"}
	v, unit := float64(n), "bytes"
	for i := 0; v >= 1000 && i < len(units); i++ {
		v, unit = v/1000, units[i]
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// modelError gives a refusal the status of something found, and a hint where one helps.
func modelError(err error) error {
	var r *provenance.Refused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return &failure{status: statusFound, err: err}
	case errors.Is(err, signing.ErrUntrusted), errors.Is(err, provenance.ErrRefused), errors.Is(err, signing.ErrFormat):
		return &failure{status: statusFound, err: err, hint: "do not load this model before it is clear why"}
	case errors.Is(err, os.ErrNotExist):
		return &failure{status: statusFailed, err: err, hint: "check the path"}
	}
	return err
}
