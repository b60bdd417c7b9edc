package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/palladium-guard/palladium/world/upstream"
)

// upstreamCommand serves a made-up model, to try a gateway on.
func upstreamCommand() *cobra.Command {
	var listen, fault string
	var c upstream.Config
	cmd := &cobra.Command{
		Use:   "upstream",
		Short: "Serve a made-up model that speaks the OpenAI and Anthropic formats, to try a gateway on",
		Long: "Serves chat completions, responses, completions, embeddings, models, messages and count_tokens with made-up\n" +
			"answers that follow from the request alone; a token is a word. Nothing leaves this machine.\n\n" +
			"A request can ask to be treated badly, by the header " + upstream.FaultHeader + ": pace=20ms,cut=5 or behind an\n" +
			"exclamation mark in the model's name, test-model!pace=20ms+cut=5:\n" +
			"  status=N times=N retry=D noretry    refuse, only so many equal requests, with these headers\n" +
			"  first=D quiet=D pace=D ping=D       wait before the headers, before the first event, before each token;\n" +
			"                                      signs of life in silence\n" +
			"  tokens=N body=N                     length of the answer in tokens; bytes of one giant event\n" +
			"  cut=N stop=N hang=N error=N         after so many tokens: break off, end early, fall silent, send an error\n" +
			"  split=N join=N crlf unknown         write pieces of N bytes, N events at once, other line ends, odd events\n" +
			"  gzip nousage tag=X                  compress; leave usage out; a mark to find the request by\n\n" +
			"GET " + upstream.SeenPath + " lists the requests that came, headers and bodies included.",
		Example: "  palladium upstream --listen 127.0.0.1:8000\n" +
			"  curl -N http://127.0.0.1:8000/v1/chat/completions -d '{\"model\":\"test-model!pace=100ms\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.Default, err = upstream.ParseFault(fault); err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen, name a free address with --listen: %w", err)
			}
			if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "upstream: listening on http://%s\n", l.Addr()); err != nil {
				return err
			}
			return upstream.New(c).Serve(cmd.Context(), l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8000", "`ADDRESS` to listen on; port 0 takes a free one")
	f.StringVar(&c.Key, "key", "", "`KEY` that callers must show; without it, everyone is served")
	f.StringSliceVar(&c.Models, "models", nil, "`NAMES` of the models that there are; without it, there is any model")
	f.StringVar(&fault, "fault", "", "`FAULT` that requests meet which ask for none")
	f.IntVar(&c.Log, "log", 0, "how many `REQUESTS` are remembered; 0 means 1024, -1 none")
	return cmd
}
