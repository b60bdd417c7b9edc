package record

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/world"
)

func demo(t testing.TB) *world.World {
	t.Helper()
	s, _ := world.Preset("probe")
	s.Benign = world.Population(300)
	s.Days = 4
	w, err := world.New(s, world.OwnCorpus(3))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWriteThenReadTruth(t *testing.T) {
	w, dir := demo(t), filepath.Join(t.TempDir(), "w")
	var plain []byte
	for _, compress := range []bool{false, true} {
		sum, err := Write(w, dir, compress, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, TruthName))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadTruth(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if want := w.Truth(); !reflect.DeepEqual(got, want) {
			t.Errorf("truth changed on its way: %+v", got)
		}
		if sum.Exchanges != got.Exchanges || sum.Campaigns != 1 {
			t.Errorf("summary %+v", sum)
		}
		if !compress {
			if plain, err = os.ReadFile(filepath.Join(dir, "exchanges.jsonl")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "exchanges.jsonl")); err == nil {
		t.Error("exchanges of an earlier world stay beside those that replace them")
	}
	packed, err := os.ReadFile(filepath.Join(dir, "exchanges.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := z.DecodeAll(packed, nil)
	if err != nil || !bytes.Equal(plain, unpacked) {
		t.Errorf("compressed and plain differ (%v)", err)
	}
	for line := range bytes.Lines(plain) {
		if !json.Valid(line) {
			t.Fatalf("invalid line %s", line)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}

func TestAppendExchangeHoldsEveryField(t *testing.T) {
	e := &palladium.Exchange{ID: "i", Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Account: "a", Credential: "k",
		Client: palladium.Client{IP: "10.0.0.1", ASN: 64512, Country: "XX", UserAgent: "u", TLS: "t", Headers: "h", Device: "d"},
		API:    "openai.chat", Model: "m", System: "s\n\"\x01\xff", Messages: []palladium.Message{{Role: "user", Text: ""}, {Role: "user", Digest: "x"}},
		Params: palladium.Params{Has: 1<<11 - 1, Temperature: 0, TopP: 1, MaxTokens: 1, N: 2, TopLogprobs: 3, Seed: 4, Logprobs: true,
			Stream: false, Reasoning: "high", Stop: []string{"z"}, LogitBias: []palladium.TokenBias{{Token: 7, Bias: -100}}},
		Tools: []string{"shell"}, Outcome: palladium.Outcome{Status: 200, Finish: "stop", MS: 12, TTFTMS: 3},
		Usage: palladium.Usage{Input: 1, Output: 2, Reasoning: 3, Cached: 4}, Output: "out"}
	want := `{"kind":"exchange","id":"i","time":"2026-01-02T03:04:05.006Z","account":"a","credential":"k","client":{"ip":"10.0.0.1","asn":64512,` +
		`"country":"XX","user_agent":"u","tls":"t","headers":"h","device":"d"},"api":"openai.chat","model":"m","system":"s\n\"\u0001` + "\ufffd" +
		`","messages":[{"role":"user","text":""},{"role":"user","digest":"x"}],"params":{"temperature":0,"top_p":1,"max_tokens":1,"n":2,` +
		`"logprobs":true,"top_logprobs":3,"logit_bias":{"7":-100},"seed":4,"reasoning":"high","stream":false,"stop":["z"]},"tools":["shell"],` +
		`"outcome":{"status":200,"finish":"stop","ms":12,"ttft_ms":3},"usage":{"input":1,"output":2,"reasoning":3,"cached":4},"output":"out"}` + "\n"
	if got := string(AppendExchange(nil, e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	bare := string(AppendExchange(nil, &palladium.Exchange{ID: "i", Account: "a"}))
	if bare != `{"kind":"exchange","id":"i","account":"a","messages":[]}`+"\n" {
		t.Errorf("bare %s", bare)
	}
}

func TestReadTruthRefusesOtherFiles(t *testing.T) {
	for _, in := range []string{"", "{}", `{"kind":"account","account":"a"}`, "{", `{"kind":"world"}` + "\n[]"} {
		if _, err := ReadTruth(strings.NewReader(in)); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func FuzzReadTruth(f *testing.F) {
	f.Add([]byte(`{"kind":"world","seed":1}` + "\n" + `{"kind":"account_truth","account":"a"}`))
	f.Fuzz(func(_ *testing.T, in []byte) { _, _ = ReadTruth(bytes.NewReader(in)) })
}

func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\n\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(quote(nil, s), &back); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); len([]rune(back)) < len([]rune(want)) {
			t.Fatalf("%q became %q", s, back)
		}
	})
}

func BenchmarkAppendExchange(b *testing.B) {
	var e palladium.Exchange
	for x := range demo(b).Exchanges() {
		e = *x
		break
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = AppendExchange(line[:0], &e)
	}
	b.SetBytes(int64(len(line)))
}
