package demo

import (
	"context"
	"os"
	"testing"
	"time"
)

// The demo's campaign is found and contained, and honest accounts are left alone. Of the days after it was acted on one is
// played here, so that the hours in which the last of its accounts are found weigh eight times what they do in the whole world.
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
	r, err := Start(ctx, Options{Dir: t.TempDir(), Seed: 1, Log: log, After: 24 * time.Hour})
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
	t.Logf("up after %s, act after %s at %s, over after %s; before %+v, after %+v; %d of %d caught, %d honest; drawn %.4f", up, o.Wall, o.Act, time.Since(begun), o.Before, o.After,
		o.Caught, o.Fakes, o.Honest, o.Drawn())
	if r.pace.hurried > 0 {
		t.Errorf("the world did not wait for %d looks to their end", r.pace.hurried)
	}
	if err != nil || o.Act.IsZero() || o.Honest > 0 || o.Drawn() > 0.25 {
		t.Errorf("error %v\n%.6000s", err, text)
	}
}
