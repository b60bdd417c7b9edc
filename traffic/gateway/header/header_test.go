package header_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/palladium-guard/palladium/traffic/gateway/header"
)

func names(h http.Header) []string {
	var out []string
	for name := range h {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestOutbound(t *testing.T) {
	c := header.Config{Withhold: []string{"openai-organization", "X-Team-*"}}
	c.Fill()
	in := http.Header{
		"Authorization": {"Bearer k"}, "X-Api-Key": {"k"}, "X_api_key": {"k"}, "X_forwarded_for": {"1.2.3.4"}, "Transfer_encoding": {"chunked"},
		"X_ours": {"k"}, "X-Forwarded-Host": {"a"}, "Connection": {"close, X-Hop"}, "X-Hop": {"a"}, "Openai-Organization": {"org-other"},
		"X-Team-Name": {"a"}, "X_team_name": {"a"}, "X-Ours": {"k"}, "Anthropic-Version": {"2026-10-21"}, "My_header": {"kept"}, "User-Agent": {"sdk"},
	}
	got := names(c.Outbound(in, []string{"X-Ours"}))
	if want := []string{"Accept-Encoding", "Anthropic-Version", "My_header", "User-Agent"}; !slices.Equal(got, want) {
		t.Errorf("the upstream gets %v, wanted %v", got, want)
	}
	if len(in) != 16 {
		t.Error("the request's own headers were changed")
	}
}

func TestInbound(t *testing.T) {
	c := header.Config{Hide: []string{"server", "openai-*"}}
	c.Fill()
	out := http.Header{}
	c.Inbound(out, http.Header{
		"Server": {"uvicorn"}, "Openai-Organization": {"org"}, "X-Echo": {"a", "Bearer sk-1"}, "Keep-Alive": {"5"}, "Connection": {"X-Hop"}, "X-Hop": {"a"},
		"X-Request-Id": {"r"},
	}, "sk-1")
	if got := names(out); !slices.Equal(got, []string{"X-Request-Id"}) {
		t.Errorf("the caller gets %v", got)
	}
	if c.Shows("Server", nil, "") || c.Shows("X-T", []string{"sk-1"}, "sk-1") || !c.Shows("X-T", []string{"a"}, "sk-1") {
		t.Error("a trailer is not held to the same")
	}
}
