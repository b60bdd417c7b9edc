package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/serve/demo"
	"github.com/palladium-guard/palladium/report"
)

// playLive plays the demo's world through a running system as real HTTP.
func playLive(cmd *cobra.Command, dir string, seed uint64, shadow, stay bool) (err error) {
	w := cmd.OutOrStdout()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder for the demo, name another one with --out: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "serve.log"))
	if err != nil {
		return fmt.Errorf("write the log, name another folder with --out: %w", err)
	}
	defer log.Close()
	o := demo.Options{Dir: dir, Seed: seed, Shadow: shadow, Log: log, Limit: 100 * time.Second}
	if stay {
		o.Welcome = func(origin, token string) {
			fmt.Fprintf(w, "Enter the console at %s with the bootstrap token %s, which is good once.\n", origin, token)
		}
	}
	r, err := demo.Start(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	fmt.Fprintf(w, "A gateway is up at http://%s, in front of a made-up model; the operator's API at %s.\n", r.Addresses.Callers, r.Addresses.API)
	fmt.Fprintf(w, "%d accounts begin to send real requests. Days of their world pass in seconds. The log is %s.\n\n", r.Accounts, log.Name())
	if err := watchLive(cmd.Context(), w, r, filepath.Join(dir, "report.json")); err != nil {
		return err
	}
	if stay {
		fmt.Fprintln(w, "\nEverything stays up for a look, until you interrupt it.")
		<-cmd.Context().Done()
	}
	return nil
}

// watchLive plays the world and tells how it goes; detail is where the report goes, for explain.
func watchLive(ctx context.Context, w io.Writer, r *demo.Running, detail string) error {
	ctx, stop := context.WithCancel(ctx)
	played := make(chan error, 1)
	go func() {
		defer close(played)
		played <- r.Play(ctx)
	}()
	defer func() {
		stop()
		for range played { // until it has ended
		}
	}()
	every := time.NewTicker(3 * time.Second)
	defer every.Stop()
	found, told := false, demo.Outcome{}
	for {
		select {
		case <-every.C:
			o := r.Outcome()
			tellLive(w, &o, &told)
			told = o
			if !o.Act.IsZero() && !found {
				found = true
				if err := tellFound(w, &o, detail); err != nil {
					return err
				}
			}
			continue
		case err := <-played:
			if err != nil {
				return err
			}
		}
		break
	}
	o := r.Outcome()
	if o.Act.IsZero() {
		return errors.New("the campaign did not come to act before the world ended")
	}
	if !found {
		if err := tellFound(w, &o, detail); err != nil {
			return err
		}
	}
	if err := app.WriteFile(detail, func(w io.Writer) error { return report.JSONDetail(w, o.Report) }); err != nil {
		return err
	}
	verb := "are"
	if o.Shadow {
		verb = "would be"
	}
	fmt.Fprintf(w, "\nThe world is left at %s: %d of %d fake accounts %s under a measure, and %d honest ones.\n", o.At.Format("2 January 15:04"), o.Caught, o.Fakes, verb, o.Honest)
	fmt.Fprintf(w, "Since it was acted on, the campaign got %.1f %% of the tokens that it would have got with nobody in the way.\n", 100*o.Drawn())
	return nil
}

// tellFound shows the report of the moment, and says when the campaign was found.
func tellFound(w io.Writer, o *demo.Outcome, detail string) error {
	if err := app.WriteFile(detail, func(w io.Writer) error { return report.JSONDetail(w, o.Report) }); err != nil {
		return err
	}
	opt := textOptions(w)
	opt.Explain = itself() + " explain --report " + detail
	fmt.Fprintln(w)
	if err := report.Text(w, o.Report, opt); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nFound after %s, at %s of the world, and acted on. The world goes on: what does the campaign still get?\n\n",
		o.Wall.Round(100*time.Millisecond), o.Act.Format("2 January 15:04"))
	return err
}

// tellLive says in a line how the world stands, and what the campaign got since the line before.
func tellLive(w io.Writer, o, before *demo.Outcome) {
	stage := "nothing found yet"
	switch n := campaignsIn(o.Report); {
	case n == 1:
		stage = "1 campaign listed"
	case n > 1:
		stage = fmt.Sprintf("%d campaigns listed", n)
	}
	if !o.Act.IsZero() {
		since := demo.Outcome{After: o.After.Since(before.After)}
		stage = fmt.Sprintf("contained: %d fake accounts, %d honest; it gets %.1f %%", o.Caught, o.Honest, 100*since.Drawn())
		if o.Shadow {
			stage = fmt.Sprintf("acted on, in shadow: %d fake accounts, %d honest", o.Caught, o.Honest)
		}
	}
	all := o.Before.Sent + o.After.Sent
	fmt.Fprintf(w, "  %s  %7d requests, %5d of the campaign, %5d refused  %s\n", o.At.Format("2 Jan 15:04"), all,
		o.Before.Campaign.Sent+o.After.Campaign.Sent, o.Before.Refused+o.After.Refused, stage)
}

func campaignsIn(r *palladium.Report) int {
	if r == nil {
		return 0
	}
	return len(r.Campaigns)
}
