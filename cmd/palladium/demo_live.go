package main

import (
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
	o := demo.Options{Dir: dir, Seed: seed, Shadow: shadow, Log: log}
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
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(3 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				tellLive(w, r.Outcome())
			}
		}
	}()
	err = r.Play(cmd.Context())
	close(done)
	if err != nil {
		return err
	}
	end := r.Outcome()
	if end.Act.IsZero() {
		return errors.New("the campaign did not come to act before the world ended")
	}
	detail := filepath.Join(dir, "report.json")
	if err := app.WriteFile(detail, func(w io.Writer) error { return report.JSONDetail(w, end.Report) }); err != nil {
		return err
	}
	opt := textOptions(w)
	opt.Explain = itself() + " explain --report " + detail
	fmt.Fprintln(w)
	if err := report.Text(w, end.Report, opt); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nFound after %s, at %s of the world: %d of %d fake accounts are under a measure, and %d honest ones.\n",
		end.Wall.Round(100*time.Millisecond), end.Act.Format("2 January 15:04"), end.Caught, end.Fakes, end.Honest)
	fmt.Fprintf(w, "Since then the campaign got %.1f %% of the tokens that it would have got with nobody in the way,\n"+
		"with hours of its world in each second that a decision takes; in a world's own time it is less: docs/serve.md.\n", 100*end.Drawn())
	if stay {
		fmt.Fprintln(w, "\nEverything stays up for a look, until you interrupt it.")
		<-cmd.Context().Done()
	}
	return nil
}

func tellLive(w io.Writer, o demo.Outcome) {
	stage := "nothing found yet"
	switch n := campaignsIn(o.Report); {
	case n == 1:
		stage = "1 campaign listed"
	case n > 1:
		stage = fmt.Sprintf("%d campaigns listed", n)
	}
	if !o.Act.IsZero() {
		stage = fmt.Sprintf("contained: %d fake accounts, %d honest", o.Caught, o.Honest)
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
