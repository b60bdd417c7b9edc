package measure_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/rules"
	"github.com/palladium-guard/palladium/traffic/measure"
)

const prompt300 = "A bakery sells 48 muffins in the morning and half as many in the afternoon. Each muffin costs 3.50 dollars " +
	"and the owner spends 40 dollars on flour. Please work out how much the bakery earns in a day, and explain every step of " +
	"your calculation so that a ten year old child could follow the argument easily."

func newMeter(t testing.TB) *measure.Meter {
	t.Helper()
	cues, err := measure.ParseCues(bytes.NewReader(rules.Cues()))
	if err != nil {
		t.Fatal(err)
	}
	return measure.New([32]byte{1, 2, 3}, cues)
}

func sample() *palladium.Exchange {
	return &palladium.Exchange{
		ID: "ex-1", Time: time.UnixMilli(1_790_000_000_000), Account: "acct-1", Credential: "key-1",
		Client: palladium.Client{IP: "198.51.100.7", ASN: 64500, UserAgent: "OpenAI/Python 1.30", TLS: "t13d1516h2_8daaf6152771_e5627efa2ab1", Headers: "9f2c"},
		API:    "openai.chat", Model: "m-large",
		System:   "You are a helpful assistant.",
		Messages: []palladium.Message{{Role: "user", Text: prompt300}},
		Params:   palladium.Params{Has: palladium.HasTemperature | palladium.HasMaxTokens, Temperature: 0.7, MaxTokens: 1024},
		Outcome:  palladium.Outcome{Status: 200, Finish: "stop"},
		Usage:    palladium.Usage{Input: 70, Output: 300},
	}
}

func BenchmarkMeasure(b *testing.B) {
	long := strings.Repeat(prompt300+" And then there is more to be said about numbered things like x86 and h2o. ", 400)
	answer := strings.Repeat("The morning brings 168 dollars, because 48 times 3.50 is 168, and the afternoon brings half of it. ", 10)
	cases := []struct {
		name string
		make func(e *palladium.Exchange)
	}{
		{"prompt=300B", func(*palladium.Exchange) {}},
		{"prompt=30B", func(e *palladium.Exchange) { e.Messages[0].Text = prompt300[:30] }},
		{"prompt=300B,answer=1KB", func(e *palladium.Exchange) { e.Output = answer }},
		{"prompt=3KB", func(e *palladium.Exchange) { e.Messages[0].Text = long[:3072] }},
		{"prompt=128KB", func(e *palladium.Exchange) { e.Messages[0].Text = long[:128<<10] }},
		{"history=40x2KB,answer=1KB", func(e *palladium.Exchange) {
			e.Messages = nil
			for i := range 40 {
				role := "user"
				if i%2 == 1 {
					role = "assistant"
				}
				e.Messages = append(e.Messages, palladium.Message{Role: role, Text: long[i*2000 : i*2000+2000]})
			}
			e.Messages = append(e.Messages, palladium.Message{Role: "user", Text: prompt300})
			e.Output = answer
		}},
		{"chinese=300B", func(e *palladium.Exchange) {
			e.Messages[0].Text = strings.Repeat("请把下面的数学题一步一步地解释清楚，并且写出完整的推理过程。", 3)
		}},
		{"russian=300B", func(e *palladium.Exchange) {
			e.Messages[0].Text = strings.Repeat("Объясни решение задачи шаг за шагом, чтобы ребёнок понял ход мысли. ", 3)
		}},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			m, e, o := newMeter(b), sample(), new(palladium.Observation)
			c.make(e)
			b.ReportAllocs()
			for b.Loop() {
				m.Measure(e, o)
			}
		})
	}
}
