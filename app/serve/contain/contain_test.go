package contain

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/traffic/sanction"
	"github.com/palladium-guard/palladium/world"
)

func TestContain(t *testing.T) {
	s, _ := world.Preset("demo")
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		s.Seed = n
	}
	every, _ := time.ParseDuration(os.Getenv("EVERY"))
	o := Options{World: s, Policy: sanction.Config{Mode: sanction.Enforce}, Dir: t.TempDir(), Every: every}
	if os.Getenv("VERBOSE") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	begun := time.Now()
	out, err := Play(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range out.Campaigns {
		t.Logf("%+v leak %.4f", c, c.Leak())
	}
	t.Logf("%+v in %s", out, time.Since(begun))
}
