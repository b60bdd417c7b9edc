package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/verdict"
)

const masterKey = "sk-8a1f0c5e2b7d4936a0e1c2d3f4b5a697"

// proxy is a real LiteLLM proxy with the hook that users are given, in front of a model that repeats what it was asked for.
func proxy(t *testing.T, python string, check string) string {
	t.Helper()
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		delete(in, "messages")
		asked, _ := json.Marshal(in)
		text, _ := json.Marshal(string(asked))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":%s}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, text)
	}))
	t.Cleanup(model.Close)
	hook, err := os.ReadFile(filepath.Join("..", "..", "deploy", "litellm", "palladium_hook.py"))
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), free(t)
	var models string
	for _, name := range []string{"large", "small"} {
		models += fmt.Sprintf("  - model_name: %s\n    litellm_params: {model: openai/%s-served, api_base: %s/v1, api_key: none}\n", name, name, model.URL)
	}
	config := "model_list:\n" + models + "litellm_settings:\n  callbacks: palladium_hook.palladium\n  drop_params: true\n"
	for name, text := range map[string]string{"palladium_hook.py": string(hook), "config.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := strings.Cut(address, ":")
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(filepath.Dir(python), "litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", port, "--telemetry", "False")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PALLADIUM_CHECK=http://"+check, "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_MASTER_KEY="+masterKey, "PYTHONPATH="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/health/liveliness")
		if err == nil {
			_ = resp.Body.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("the proxy did not start:\n%s", out.String())
		}
	}
}

func TestLiteLLM(t *testing.T) {
	python := os.Getenv("PALLADIUM_TEST_LITELLM")
	if python == "" {
		t.Skip("SKIPPED: no LiteLLM: conformance/check/run installs it and sets PALLADIUM_TEST_LITELLM to its Python")
	}
	s := &situation{t: t, verdict: verdict.NewHolder(0)}
	h, _ := s.door(free(t), free(t))
	address := proxy(t, python, h)
	ask := func() (*http.Response, string) {
		body := `{"model":"large","user":"acme","n":2,"logprobs":true,"top_logprobs":5,"max_tokens":5000,"messages":[{"role":"user","content":"hi"}]}`
		r, _ := http.NewRequest("POST", "http://"+address+"/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+masterKey)
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	expect := func(what string, status int, has []string, lacks ...string) {
		t.Helper()
		resp, body := ask()
		all := strings.ReplaceAll(fmt.Sprint(resp.Header)+body, `\"`, `"`)
		for _, want := range has {
			if !strings.Contains(all, want) {
				t.Errorf("%s: %s lacks %s", what, all, want)
			}
		}
		for _, not := range lacks {
			if strings.Contains(all, not) {
				t.Errorf("%s: %s has %s", what, all, not)
			}
		}
		if resp.StatusCode != status {
			t.Errorf("%s: %d %s, wanted %d", what, resp.StatusCode, all, status)
		}
	}
	s.setting("", false)
	expect("no verdict", 200, []string{`"model":"large-served"`, `"n":2`, `"logprobs":true`})
	s.setting(palladium.MeasureSuspend, true)
	expect("shadow", 200, []string{`"n":2`})
	s.setting(palladium.MeasureSuspend, false)
	expect("suspended", 403, []string{"campaign.extraction", "ref-1"})
	s.setting(palladium.MeasureWithhold, false)
	expect("withhold", 200, []string{`"n":1`}, "logprobs\":true", "top_logprobs")
	s.setting(palladium.MeasureSmaller, false)
	expect("smaller", 200, []string{`"model":"small-served"`})
	s.setting(palladium.MeasureBudget, false)
	expect("used up", 429, []string{"campaign.extraction"})
	s.setting(palladium.MeasureSlow, false)
	begun := time.Now()
	if expect("slow", 200, nil); time.Since(begun) < 700*time.Millisecond {
		t.Errorf("slow took %s only", time.Since(begun))
	}
	s.setting(palladium.MeasureSuspend, false)
	s.stop()
	expect("palladium is away", 200, nil)
}
