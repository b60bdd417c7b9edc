package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/app"
	"github.com/palladium-guard/palladium/app/archiving"
	"github.com/palladium-guard/palladium/store/archive"
)

// archiveFlags name an archive.
type archiveFlags struct{ where, config string }

func (f *archiveFlags) open() (*archive.Archive, error) {
	if f.where == "" && f.config == "" {
		return nil, usageError(errors.New("name the archive"), "give --archive DIR or --archive s3://BUCKET/PREFIX, or --config FILE")
	}
	return archiving.Open(f.where, f.config)
}

// known opens an archive that must be there.
func (f *archiveFlags) known(ctx context.Context) (*archive.Archive, error) {
	a, err := f.open()
	if err != nil {
		return nil, err
	}
	return a, a.Known(ctx)
}

// archiveCommand keeps observations to hunt in and to scan again.
func archiveCommand() *cobra.Command {
	var f archiveFlags
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Keep observations as Parquet files, to hunt in and to scan again",
		Long: "An archive is a folder, or a bucket of an S3-compatible store, of Parquet files by hour: what was measured of each exchange,\n" +
			"never its text. palladium serve writes one by itself; see docs/hunting.md for queries with DuckDB and ClickHouse.",
		Example: "  palladium archive import --archive archive --key measuring.key logs/\n" +
			"  palladium scan --archive archive --key measuring.key\n" +
			"  palladium archive status --archive s3://traffic/palladium",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	fl := cmd.PersistentFlags()
	fl.StringVar(&f.where, "archive", "", "`PLACE` of the archive: a folder, or s3://BUCKET/PREFIX with AWS_ENDPOINT_URL and AWS_ACCESS_KEY_ID in the environment")
	fl.StringVar(&f.config, "config", "", "configuration `FILE` whose section archive says where it is and how long what is kept")
	cmd.AddCommand(archiveImport(&f), archiveCompact(&f), archiveExpire(&f), archiveStatus(&f), archiveFiles(&f))
	return cmd
}

func archiveImport(f *archiveFlags) *cobra.Command {
	var o archiving.Options
	var key string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "import --key FILE PATH...",
		Short: "Measure recorded traffic and write it to the archive",
		Long: "Reads recorded traffic as palladium scan does and writes what it measures to the archive. How far each file was read is kept\n" +
			"there: an import that is stopped, however roughly, is continued by the next, and the same files are read again only where\n" +
			"they have grown. All that goes into one archive is measured under one key, which is made where FILE does not exist.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.open()
			if err != nil {
				return err
			}
			var made bool
			if o.Key, made, err = archiving.Key(key); err != nil {
				return err
			}
			if made {
				fmt.Fprintf(cmd.ErrOrStderr(), "made the measuring key %s: keep it secret, and keep a copy\n", key)
			}
			watch := newWatcher(cmd.ErrOrStderr(), quiet)
			o.Paths, o.Stdin, o.Progress, o.Rejected = args, cmd.InOrStdin(), watch.progress, watch.reject
			stats, err := archiving.Import(cmd.Context(), a, o)
			watch.close()
			if err != nil {
				return explainError(err)
			}
			if stats.Interrupted {
				return &failure{status: statusFailed, err: errors.New("interrupted"), hint: "run the same command again to continue"}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s exchanges and %s account records are in %s\n", thousands(stats.Exchanges), thousands(stats.Accounts), a)
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&key, "key", "", "`FILE` of the measuring key behind all hashes")
	fl.StringVar(&o.Dialect, "dialect", "", "format of all files; found by looking when not given")
	fl.StringVar(&o.Log, "log", "", "`NAME` of the log that is written (default "+archiving.FilesLog+")")
	fl.BoolVarP(&quiet, "quiet", "q", false, "print no progress and do not list skipped records")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func archiveCompact(f *archiveFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Merge the files of hours that are over",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.known(cmd.Context())
			if err != nil {
				return err
			}
			return archiving.Compact(cmd.Context(), a, cmd.OutOrStdout())
		},
	}
}

func archiveExpire(f *archiveFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "expire",
		Short: "Remove what is kept no longer, by class of field",
		Long: "Removes what is over by archive.retention of the configuration, or by default: hashes of connections after 30 days,\n" +
			"fingerprints of text after 90, and all else after 400. Files are rewritten without the columns whose time is over.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.known(cmd.Context())
			if err != nil {
				return err
			}
			return archiving.Expire(cmd.Context(), a, cmd.OutOrStdout())
		},
	}
}

func archiveStatus(f *archiveFlags) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what the archive holds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return usageError(fmt.Errorf("unknown format %q", format), "use text or json")
			}
			a, err := f.known(cmd.Context())
			if err != nil {
				return err
			}
			s, err := a.Status(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return archiving.Show(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func archiveFiles(f *archiveFlags) *cobra.Command {
	var since, until string
	cmd := &cobra.Command{
		Use:   "files",
		Short: "List the files of observations that count, one a line",
		Long: "Lists the files of observations, of all hours or of those between two times. While files are merged, a pattern such as\n" +
			"observations/*/*/*.parquet can find an observation twice for a moment; this list does not.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := readTime("since", since)
			if err != nil {
				return err
			}
			var to time.Time
			if to, err = readTime("until", until); err != nil {
				return err
			}
			a, err := f.known(cmd.Context())
			if err != nil {
				return err
			}
			names, err := a.Files(cmd.Context(), from, to)
			if err != nil {
				return err
			}
			for _, n := range names {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSuffix(a.String(), "/")+"/"+n); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "leave out hours before this `TIME`")
	cmd.Flags().StringVar(&until, "until", "", "leave out hours at or after this `TIME`")
	return cmd
}

// fromArchive puts the archive that is named in the place of files.
func (f *inputFlags) fromArchive(o *app.ScanOptions) error {
	if f.key != "" && f.state != "" {
		return usageError(errors.New("--key and --state exclude each other"), "a state has a key of its own")
	}
	if f.key != "" {
		key, err := app.ReadMeasuringKey(f.key)
		if err != nil {
			return err
		}
		o.Key = &key
	}
	if f.archive == "" {
		return nil
	}
	if len(o.Paths) > 0 || f.state != "" || f.dialect != "" {
		return usageError(errors.New("--archive is read alone"), "leave out PATH, --state and --dialect; palladium archive import brings files into the archive")
	}
	var err error
	o.Archive, err = archiving.Open(f.archive, "")
	return err
}
