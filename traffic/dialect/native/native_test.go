package native

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

func decodeOne(t testing.TB, line string) (dialect.Record, error) {
	t.Helper()
	var got dialect.Record
	n := 0
	err := new(Decoder).Decode([]byte(line), func(r *dialect.Record) error { n++; got = *r; return nil })
	if (err == nil) != (n == 1) {
		t.Fatalf("%d records with error %v", n, err)
	}
	return got, err
}

func sample(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func TestEveryFieldOfTheContract(t *testing.T) {
	lines := sample(t)
	got, err := decodeOne(t, lines[0])
	if err != nil {
		t.Fatal(err)
	}
	wantAccount := palladium.Account{ID: "acct-0001", Created: time.Date(2026, 3, 2, 9, 15, 0, 0, time.UTC),
		Organization: "Harbour Analytics", Plan: "team", EmailDomain: "harbour.example", EmailShape: "aaaa.aaaaa00",
		Payment: "pi_7f3a", BIN: "457173", PhonePrefix: "+4520", Device: "d-91", SignupIP: "192.0.2.7",
		Verified: []string{"email", "card"}, Relation: palladium.RelationTenant}
	if got.Kind != dialect.KindAccount || !reflect.DeepEqual(got.Account, wantAccount) {
		t.Errorf("account\n got %+v\nwant %+v", got.Account, wantAccount)
	}

	if got, err = decodeOne(t, lines[2]); err != nil {
		t.Fatal(err)
	}
	all := palladium.HasStop<<1 - 1
	want := palladium.Exchange{ID: "x-1", Time: time.Date(2026, 5, 3, 12, 0, 0, 250e6, time.UTC), Account: "acct-0001",
		Credential: "key-1", API: "openai.chat", Model: "large-1", System: "You are terse.",
		Client: palladium.Client{IP: "198.51.100.4", ASN: 64501, Country: "DK", UserAgent: "openai-python/1.30.1",
			TLS: "t13d1516h2_8daaf6152771_b186095e22b6", Headers: "5f2c", Device: "d-91"},
		Messages: []palladium.Message{{Role: "user", Text: "Prove that √2 is irrational.\nStep by step."},
			{Role: "user", Digest: "sha256:ab12"}},
		Params: palladium.Params{Has: all, Temperature: 0.7, TopP: 0.95, MaxTokens: 1024, N: 1, Logprobs: true,
			TopLogprobs: 5, Seed: 42, Reasoning: "high", Stop: []string{"END", "\n\n"},
			LogitBias: []palladium.TokenBias{{Token: 50256, Bias: -100}, {Token: 17, Bias: 1.5}}},
		Tools:   []string{"search", "run"},
		Outcome: palladium.Outcome{Status: 200, Finish: "stop", MS: 2310.5, TTFTMS: 180},
		Usage:   palladium.Usage{Input: 28, Output: 311, Reasoning: 120}, Output: `Suppose "√2 = p/q" …`}
	if !reflect.DeepEqual(got.Exchange, want) {
		t.Errorf("exchange\n got %+v\nwant %+v", got.Exchange, want)
	}

	if got, err = decodeOne(t, lines[3]); err != nil {
		t.Fatal(err)
	}
	p := palladium.Params{Has: palladium.HasReasoning | palladium.HasStop | palladium.HasLogprobs | palladium.HasTopLogprobs,
		Reasoning: `{"budget_tokens":2048}`, Stop: []string{"END"}, Logprobs: true, TopLogprobs: 5}
	e := got.Exchange
	if !reflect.DeepEqual(e.Params, p) || !e.Time.Equal(time.Date(2026, 5, 3, 12, 0, 1, 0, time.UTC)) {
		t.Errorf("got %+v at %v, want %+v", e.Params, e.Time, p)
	}
}

func TestRejects(t *testing.T) {
	const head = `{"kind":"exchange","id":"a","time":"2026-01-01T00:00:00Z","account":"b"`
	for _, c := range []struct {
		line string
		is   error
		says string
	}{
		{``, dialect.ErrSyntax, "byte 0"},
		{`[]`, dialect.ErrSyntax, "no {"},
		{`{}`, dialect.ErrMissing, `"kind"`},
		{`{"kind":null}`, dialect.ErrMissing, `"kind"`},
		{`{"kind":7}`, dialect.ErrType, `"kind"`},
		{`{"kind":"secret words"}`, dialect.ErrKind, `"kind"`},
		{`{"kind":"account"}`, dialect.ErrMissing, `"account"`},
		{`{"kind":"account","account":""}`, dialect.ErrMissing, `"account"`},
		{`{"kind":"exchange","time":"2026-01-01T00:00:00Z","account":"b"}`, dialect.ErrMissing, `"id"`},
		{`{"kind":"exchange","id":"a","account":"b"}`, dialect.ErrMissing, `"time"`},
		{`{"kind":"exchange","id":"a","time":"2026-01-01T00:00:00Z"}`, dialect.ErrMissing, `"account"`},
		{`{"kind":"exchange","id":"a","time":"yesterday","account":"b"}`, dialect.ErrTime, `"time"`},
		{`{"kind":"exchange","id":"a","time":1714737600,"account":"b"}`, dialect.ErrType, `"time"`},
		{`{"kind":"exchange","id":5,"time":"2026-01-01T00:00:00Z","account":"b"}`, dialect.ErrType, `"id"`},
		{head, dialect.ErrSyntax, "no comma or end"},
		{head + `} x`, dialect.ErrSyntax, "something after"},
		{head + `,}`, dialect.ErrSyntax, "no key"},
		{head + `,"x":[1,]}`, dialect.ErrSyntax, "no value"},
		{head + `,"x":01}`, dialect.ErrSyntax, ""},
		{head + `,"x":1.}`, dialect.ErrSyntax, "bad number"},
		{head + `,"x":"\x"}`, dialect.ErrSyntax, "bad escape"},
		{head + `,"x":"\u12g4"}`, dialect.ErrSyntax, `bad \u escape`},
		{head + ",\"x\":\"a\tb\"}", dialect.ErrSyntax, "control character"},
		{head + ",\"x\":\"\\na\tb\"}", dialect.ErrSyntax, "control character"},
		{head + ",\"output\":\"a\xffb\"}", dialect.ErrUTF8, "byte 83"},
		{head + `,"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, dialect.ErrSyntax, "too deep"},
		{head + `,"client":[]}`, dialect.ErrType, `"client"`},
		{head + `,"client":{"asn":"AS1"}}`, dialect.ErrType, `"client.asn"`},
		{head + `,"client":{"asn":-1}}`, dialect.ErrType, `"client.asn"`},
		{head + `,"messages":["hi"]}`, dialect.ErrType, `"messages"`},
		{head + `,"messages":[{"text":["hi"]}]}`, dialect.ErrType, `"messages.text"`},
		{head + `,"params":{"max_tokens":1.5}}`, dialect.ErrType, `"params.max_tokens"`},
		{head + `,"params":{"logit_bias":{"the":1}}}`, dialect.ErrType, `"params.logit_bias"`},
		{head + `,"params":{"stream":"yes"}}`, dialect.ErrType, `"params.stream"`},
		{head + `,"tools":[{"name":"x"}]}`, dialect.ErrType, `"tools"`},
		{head + `,"usage":{"output":"many"}}`, dialect.ErrType, `"usage.output"`},
		{head + `,"kind":"account"}`, dialect.ErrKind, `"kind"`},
	} {
		_, err := decodeOne(t, c.line)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.90q: got %v, want %v with %q", c.line, err, c.is, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("error quotes the content: %v", err)
		}
	}
	if _, err := decodeOne(t, string(make([]byte, dialect.MaxLine+1))); !errors.Is(err, dialect.ErrTooLong) {
		t.Errorf("got %v for a long line", err)
	}
}

func TestNullIsAbsentAndLastWins(t *testing.T) {
	got, err := decodeOne(t, ` { "client" : null, "messages":null,"params":{"n":null,"seed":1,"seed":null,"max_tokens":1e3,"stop":null},`+
		`"tools":["a"],"tools":["b","c"],"usage":null,"outcome":null,"output":null,"id":"a","id":"z","time":"2026-01-01T00:00:00Z",`+
		`"account":"b","kind":"exchange","model":"\u00e9\ud83d\ude00\ud800x\/"} `)
	if err != nil {
		t.Fatal(err)
	}
	e := got.Exchange
	if e.ID != "z" || len(e.Messages) != 0 || e.Params.Has != palladium.HasMaxTokens || e.Params.MaxTokens != 1000 ||
		!reflect.DeepEqual(e.Tools, []string{"b", "c"}) || e.Model != "é😀\uFFFDx/" {
		t.Errorf("got %+v", e)
	}
}

func TestDecoderForgetsTheLineBefore(t *testing.T) {
	lines, d := sample(t), new(Decoder)
	for _, l := range []string{lines[2], lines[0]} {
		if err := d.Decode([]byte(l), func(*dialect.Record) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(r *dialect.Record) error {
		e, a := r.Exchange, r.Account
		if r.Kind == dialect.KindExchange && (e.Model != "" || len(e.Messages) != 0 || len(e.Tools) != 0 || e.Params.Has != 0 ||
			len(e.Params.LogitBias) != 0 || e.Usage.Output != 0 || e.Client.IP != "") {
			t.Errorf("kept %+v", e)
		}
		if r.Kind == dialect.KindAccount && (a.Plan != "" || len(a.Verified) != 0) {
			t.Errorf("kept %+v", a)
		}
		return nil
	}
	for _, l := range []string{`{"kind":"exchange","id":"a","time":"2026-01-01T00:00:00Z","account":"b"}`, lines[1]} {
		if err := d.Decode([]byte(l), check); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLongLinesTakeLinearTime would take minutes if escapes or brackets made the scanner look at the line again.
func TestLongLinesTakeLinearTime(t *testing.T) {
	const n = 4 << 20
	head := `{"kind":"exchange","id":"a","time":"2026-01-01T00:00:00Z","account":"b","output":"`
	for _, fill := range []string{`\n`, `\"`, `\\`, `\u00e9`, `","x":"\t`, `","x":[{},"`, "é"} {
		begin := time.Now()
		_ = new(Decoder).Decode([]byte(head+strings.Repeat(fill, n/len(fill))+`"}`), func(*dialect.Record) error { return nil })
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("%q takes %v", fill, d)
		}
	}
}

func TestSniff(t *testing.T) {
	for line, want := range map[string]bool{
		`{"kind":"exchange","id":"a"}`:                    true,
		`{"id":"a", "kind" : "account"}`:                  true,
		`{"id":"a","call_type":"acompletion"}`:            false,
		`{"resourceSpans":[{"kind":"SPAN_KIND_CLIENT"}]}`: false,
		`{"kind`: false,
		``:       false,
	} {
		if Sniff([]byte(line)) != want {
			t.Errorf("%s: want %v", line, want)
		}
	}
}

// benchLine is about 600 bytes with a prompt of 300.
func benchLine() []byte {
	return []byte(`{"kind":"exchange","id":"req_01HZX4T9Q2","time":"2026-05-03T12:00:00.250Z","account":"acct-004211","credential":"key-88123",` +
		`"client":{"ip":"198.51.100.4","asn":64501,"user_agent":"openai-python/1.30.1","tls":"t13d1516h2_8daaf6152771_b186095e22b6","headers":"5f2c90ab"},` +
		`"api":"openai.chat","model":"large-1","messages":[{"role":"user","text":"` + string(bytes.Repeat([]byte("Explain the proof of the "), 12)) + `"}],` +
		`"params":{"temperature":0.7,"max_tokens":1024},"outcome":{"status":200,"finish":"stop","ms":2310},"usage":{"input":78,"output":311}}`)
}

func TestNothingIsAllocated(t *testing.T) {
	for name, line := range map[string][]byte{"plain": benchLine(), "full": []byte(sample(t)[2])} {
		d, emit := new(Decoder), func(*dialect.Record) error { return nil }
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(line, emit); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations an exchange", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, line := range map[string][]byte{
		"plain":   benchLine(),
		"escaped": bytes.Replace(benchLine(), []byte("of the Explain"), []byte(`of\nthe \"Explain\"`), 4),
	} {
		b.Run(name, func(b *testing.B) {
			d, emit := new(Decoder), func(*dialect.Record) error { return nil }
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(line, emit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
