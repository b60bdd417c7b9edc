package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/palladium-guard/palladium/app/live"
	"github.com/palladium-guard/palladium/config"
	"github.com/palladium-guard/palladium/notify"
	"github.com/palladium-guard/palladium/store/watch"
	"github.com/palladium-guard/palladium/traffic/sanction"
)

// refuse says what is wrong with a configuration that is to take the place of the one in force, also with what only the next start
// would take: a file that was read again is one that can be started with.
func (h *house) refuse(f *config.File) error {
	next := *f
	Fill(&next, h.o.State)
	_, sinks := notify.Open(notify.Options{Config: f.Notify})
	err := errors.Join(h.check(&next), h.starts(&next), sinks)
	if err == nil || h.o.Config == "" {
		return err
	}
	text, e := os.ReadFile(h.o.Config)
	if e != nil {
		return errors.Join(err, fmt.Errorf("read the configuration: %w", e))
	}
	return config.NewTrail(text).Locate(err)
}

// reloaded puts in force what a configuration says beside the gateway. It was checked by refuse.
func (h *house) reloaded(f *config.File) {
	Fill(f, h.o.State)
	if h.board != nil {
		h.takeEnforcement(f)
	}
	h.takeNotify(f)
	var later []string
	was, is := reflect.ValueOf(h.file).Elem(), reflect.ValueOf(f).Elem()
	for i := range is.NumField() {
		name := is.Type().Field(i).Tag.Get("yaml")
		atOnce := slices.Contains([]string{"gateway", "credentials", "restrict", "budget", "enforcement", "notify"}, name)
		if !atOnce && !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			later = append(later, name)
		}
	}
	if len(later) > 0 {
		h.log.Warn("what changed in these sections is in force from the next start on", "sections", strings.Join(later, ", "))
	}
}

// takeEnforcement puts the file's enforcement policy in force, unless the catalog holds one, which goes before the file's.
func (h *house) takeEnforcement(f *config.File) {
	policy, err := sanction.New(h.appealing(f.Enforcement))
	if err != nil { // refuse looked at it
		h.log.Error("enforcement policy is not taken; the one before stays in force", "error", err)
		return
	}
	h.configured.Store(&f.Enforcement)
	if _, revision := h.board.Policy(); revision != live.Configured {
		h.log.Info("the enforcement policy that was activated in the catalog stays in force", "revision", revision)
		return
	}
	h.board.SetPolicy(policy, live.Configured)
	h.log.Info("enforcement policy is in force", "mode", policy.Mode())
}

// reload reads the configuration again where no gateway runs, and puts it in force, whole or not at all.
func (h *house) reload() error {
	f := &config.File{}
	if h.o.Config != "" {
		data, err := os.ReadFile(h.o.Config)
		if err != nil {
			return fmt.Errorf("read the configuration: %w", err)
		}
		if f, err = config.Parse(data); err != nil {
			return fmt.Errorf("read %s: %w", h.o.Config, err)
		}
	}
	if err := h.refuse(f); err != nil {
		return err
	}
	h.reloaded(f)
	return nil
}

// wait waits for the end of ctx where no gateway runs, and reads the configuration again on a hang-up signal or a change of the file.
func (h *house) wait(ctx context.Context) error {
	again := make(chan struct{}, 1)
	if h.o.Config != "" {
		watch.File(ctx, h.o.Config, 0, func() {
			select {
			case again <- struct{}{}:
			default:
			}
		})
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	h.tellReady()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-h.failed:
			return err
		case <-hangup:
		case <-again:
		}
		if err := h.reload(); err != nil {
			h.log.Error("configuration is not taken; the one before stays in force", "error", err)
			continue
		}
		h.log.Info("configuration was read again")
	}
}

// needed marks the parts without which this process is of no use: a gateway serves on without any of them.
func (h *house) needed(name string) bool {
	switch {
	case h.runs(RoleGateway):
		return false
	case name == "catalog":
		return true
	}
	return name == "stream" && h.runs(RoleDetector)
}
