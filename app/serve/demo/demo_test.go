package demo

import (
	"context"
	"os"
	"testing"
	"time"
)

// The demo's campaign is found and contained: enforcement leaves the smaller part of its draw, and honest accounts alone. Days pass in seconds here, so that what is drawn
// between a look and the next one, and until verdicts arrive, weighs some thousand times what it does in a day that takes a day.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("plays a world of days for a minute")
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	begun := time.Now()
	r, err := Start(ctx, Options{Dir: t.TempDir(), Seed: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	up := time.Since(begun)
	err = r.Play(ctx)
	o := r.Outcome()
	if e := r.Close(); err == nil {
		err = e
	}
	text, _ := os.ReadFile(log.Name()) // shown when the test fails
	t.Logf("up after %s, act after %s at %s; before %+v, after %+v; %d of %d caught, %d honest; drawn %.4f", up, o.Wall, o.Act, o.Before, o.After, o.Caught, o.Fakes, o.Honest, o.Drawn())
	if err != nil || o.Act.IsZero() || o.Honest > 0 || o.Drawn() > 0.5 {
		t.Errorf("error %v\n%.6000s", err, text)
	}
}
