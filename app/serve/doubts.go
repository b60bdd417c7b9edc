package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/internal/tlsfile"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// doubts says what of a configuration that holds together will not do, or not for long: files that are missing, certificates that
// have expired or soon will, secrets that anybody on this machine can read, and callers that cannot be known.
func (h *house) doubts(f *config.File, trail *config.Trail, now time.Time) (out []string) {
	say := func(path, source, format string, args ...any) {
		if strings.HasPrefix(source, "line ") {
			path = source + ": " + path
		}
		out = append(out, path+": "+fmt.Sprintf(format, args...))
	}
	named, from := map[string]string{}, map[string]string{}
	exposed := ""
	if h.o.Config != "" {
		exposed = tlsfile.Exposed(h.o.Config)
	}
	trail.Texts(f, func(at, value, source string) { named[at], from[at] = value, source })
	trail.Texts(f, func(at, value, source string) {
		if config.Masked(at, value) != value && strings.HasPrefix(source, "line ") && exposed != "" {
			say(at, source, "the value holds a secret: %s; or keep the secret in a file of its own", exposed)
		}
		parent, key := around(at)
		switch {
		case key == "certificate":
			for _, w := range tlsfile.Doubts(value, named[parent+"key"], now) {
				say(at, source, "%s", w)
			}
		case key == "key" && named[parent+"certificate"] != "": // told with the certificate
		case key == "ca" || key == "client_ca":
			for _, w := range tlsfile.AuthorityDoubts(value, now) {
				say(at, source, "%s", w)
			}
		case strings.HasSuffix(key, "_file") || slices.Contains([]string{"stream.credentials", "stream.nkey", "archive.s3.credentials"}, at):
			// The value is not repeated: it may be the secret itself in the place of a file's name.
			if info, err := os.Stat(value); errors.Is(err, fs.ErrNotExist) {
				say(at, source, "there is no such file: put the secret into a file that only this program's user can read, and name that file here")
			} else if err != nil {
				say(at, source, "the file cannot be looked at: let this program's user read it")
			} else if info.IsDir() {
				say(at, source, "it is a folder: name the file in it")
			} else if w := tlsfile.Exposed(value); w != "" {
				say(at, source, "%s", w)
			}
		}
	})
	if f.Stream.URL != "" || f.Stream.Cluster.Name != "" {
		written := func(key string) bool { return strings.HasPrefix(from[key], "line ") }
		if !written("measuring_key") {
			out = append(out, "measuring_key: processes that share a stream need one key, or what they observe cannot be compared: copy the file to each, and name it here")
		}
		if !written("catalog.url") && (h.runs(RoleDetector) || h.runs(RoleAPI)) {
			out = append(out, "catalog.url: detectors and APIs that share a stream need one catalog: name a PostgreSQL here")
		}
		if !f.Ledger.Off && h.runs(RoleDetector) != h.runs(RoleAPI) {
			out = append(out, "ledger: detector and API in processes of their own write a log each, and an index is one of the log of who decided: run both roles in one process for one log")
		}
	}
	if err := h.starts(f); err != nil {
		for line := range strings.Lines(err.Error()) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	if h.runs(RoleGateway) && f.Gateway.Observe.Dir != "" {
		out = append(out, "gateway.observe.dir is set, but observations go to the stream and the archive: palladium gateway alone writes there")
	}
	return append(out, h.untold(f)...)
}

// untold says which measures of policy other people's gateways are told and must carry out by themselves: a check refuses, and keeps
// back, and can do no more.
func (h *house) untold(f *config.File) (out []string) {
	if !h.runs(RoleCheck) || f.Check.HTTP == "" && f.Check.GRPC == "" || f.Enforcement.Mode != sanction.Enforce {
		return nil
	}
	stages := f.Enforcement.Filled().Stages
	for _, stage := range slices.Sorted(maps.Keys(stages)) {
		switch m := stages[stage].Measure; m {
		case palladium.MeasureWithhold, palladium.MeasureSmaller:
			out = append(out, fmt.Sprintf("check: enforcement.stages.%s leads to %s, which a check tells and does not enforce: have the gateway that asks do it, or choose slow, budget, step-up or suspend", stage, m))
		}
	}
	return out
}

// around splits a path such as taps.otlp.key into taps.otlp. and key, without the place in a list.
func around(at string) (parent, key string) {
	i := strings.LastIndexByte(at, '.') + 1
	key, _, _ = strings.Cut(at[i:], "[")
	return at[:i], key
}

// followDoubts logs the doubts now and once a day, as certificates come to their end while the program runs.
func (h *house) followDoubts(ctx context.Context, data []byte) {
	trail := config.NewTrail(data)
	tell := func() {
		for _, w := range h.doubts(h.file, trail, time.Now()) {
			h.log.Warn("look at the configuration", "what", w)
		}
	}
	tell()
	h.work.Go(func() {
		day := time.NewTicker(24 * time.Hour)
		defer day.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-day.C:
				tell()
			}
		}
	})
}
