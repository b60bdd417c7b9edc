package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app/telemetry"
)

// traced runs something that sends traces, where the environment asks for them, and sends the last ones when it has ended.
func traced(cmd *cobra.Command, run func(*telemetry.Traces) error) error {
	v, _ := build()
	t, err := telemetry.Open(cmd.Context(), os.Getenv, v, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
	if err != nil {
		return err
	}
	err = run(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 5*time.Second)
	defer cancel()
	return errors.Join(err, t.Close(ctx))
}
