package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/internal/stats"
	"github.com/palladium-guard/palladium/traffic/gateway/credential"
	"github.com/palladium-guard/palladium/world/upstream"
)

// What is measured here takes minutes, and is run by make bench-serve-memory and make soak on a built program: PALLADIUM names it.

const longToken = "0123456789abcdef-token"

// process is a running palladium serve.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	dir     string
	callers string
	admin   string
	log     string
}

// freePort returns an address that nobody listens at now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// begin starts palladium serve with a configuration, in which %U, %D stand for the upstream and the directory.
func begin(t testing.TB, program, yaml string, up string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), callers: freePort(t), admin: freePort(t)}
	p.log = filepath.Join(p.dir, "log")
	head := fmt.Sprintf("gateway: {listen: %q, admin: {listen: %q, token_file: %q}, upstreams: [{url: %q}]}\napi: {listen: %q}\n", p.callers, p.admin, filepath.Join(p.dir, "token"), up, freePort(t))
	for name, text := range map[string]string{"token": longToken, "p.yaml": head + strings.ReplaceAll(yaml, "%D", p.dir)} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(program, "serve", "--config", filepath.Join(p.dir, "p.yaml"), "--state", filepath.Join(p.dir, "state"))
	p.cmd.Stderr = log
	return p
}

// start starts it and waits until it is ready.
func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(p.log)
			p.t.Fatalf("it is not ready:\n%s", text)
		}
	}
}

// figure reads metrics by their names.
func (p *process) figures() map[string]float64 {
	req, err := http.NewRequest("GET", "http://"+p.admin+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+longToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		text, _ := os.ReadFile(p.log)
		p.t.Fatalf("%v\n%s", err, text)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out
}

// most is the most memory that was resident, in bytes.
func (p *process) most() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kb, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	return kb << 10
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Memory of the whole system with SERVE_ACCOUNTS accounts seen, each with a record and SERVE_EXCHANGES exchanges over all.
func TestMemory(t *testing.T) {
	program, accounts := os.Getenv("PALLADIUM"), number("SERVE_ACCOUNTS", 0)
	if program == "" || accounts == 0 {
		t.Skip("takes minutes: make bench-serve-memory")
	}
	exchanges := number("SERVE_EXCHANGES", 2*accounts)
	p := begin(t, program, "credentials: {keys: '%D/keys.jsonl'}\ntaps: {files: ['%D/traffic']}\narchive: {off: true}\ndetector: {every: 24h}\n", "http://127.0.0.1:1")
	p.cmd.Env = append(os.Environ(), "GOMEMLIMIT=")
	if err := os.WriteFile(filepath.Join(p.dir, "keys.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := recordAccounts(filepath.Join(p.dir, "traffic"), accounts, exchanges); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() }()
	time.Sleep(5 * time.Second)
	var last, calm, look, snapshot, delay float64
	for next := start; ; time.Sleep(2 * time.Second) {
		f := p.figures()
		taken := f["palladium_detector_observations_total"]
		look, snapshot, delay = max(look, f["palladium_detector_look_seconds"]), max(snapshot, f["palladium_detector_snapshot_seconds"]), max(delay, f["palladium_detector_delay_seconds"])
		if time.Since(next) > 20*time.Second {
			next = time.Now()
			t.Logf("%4.0f s: %9.0f exchanges taken in, %.2f GB resident, %.2f GB at most, heap in use %.2f GB", time.Since(start).Seconds(), taken, f["process_resident_memory_bytes"]/1e9, float64(p.most())/1e9, f["go_memstats_heap_inuse_bytes"]/1e9)
		}
		if taken == last {
			calm++
		} else {
			calm = 0
		}
		if last = taken; taken >= float64(exchanges) && calm > 20 { // 40 s: a look and a snapshot are in it
			break
		}
		if time.Since(start) > 55*time.Minute {
			t.Fatalf("%.0f of %d exchanges taken in", taken, exchanges)
		}
	}
	f := p.figures()
	t.Logf("%d accounts, %d exchanges in %.0f s: %.2f GB resident at most, %.2f GB at rest, of which heap in use %.2f GB", accounts, exchanges, time.Since(start).Seconds(),
		float64(p.most())/1e9, f["process_resident_memory_bytes"]/1e9, f["go_memstats_heap_inuse_bytes"]/1e9)
	t.Logf("longest look %.2f s, longest snapshot %.2f s, nothing taken in for %.0f s in all, an observation waited for %.0f s at most", look, snapshot, f["palladium_detector_stopped_seconds_total"], delay)
	if accounts <= 1_000_000 && p.most() > 5_000_000_000 {
		t.Errorf("more than 5 GB for a million accounts")
	}
}

// recordAccounts writes records of accounts and exchanges of them over ten days, as lines of native traffic. What an account shows is
// drawn for each thing by itself, so that some share one thing and hardly any share several: accounts that are strangers.
func recordAccounts(dir string, accounts, exchanges int) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "t.jsonl"))
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	mix := func(i int) int { // splitmix64
		h := uint64(i) * 0x9E3779B97F4A7C15
		h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
		h = (h ^ h>>27) * 0x94D049BB133111EB
		return int((h ^ h>>31) >> 1)
	}
	own := func(account, thing, of int) int { return mix(account*32+thing) % of }
	for a := range accounts {
		fmt.Fprintf(w, `{"kind":"account","account":"acct-%08d","created":"2026-04-%02dT10:00:00Z","plan":"pro","email_domain":"d%d.example","payment":"fp-%d","bin":"%d","device":"dev-%d","signup_ip":"10.%d.%d.%d"}`+"\n",
			a, 1+a%28, own(a, 0, 20_000), a, own(a, 1, 3000), a, own(a, 2, 250), own(a, 3, 250), own(a, 4, 250))
	}
	begin := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	var prompt bytes.Buffer
	for i := range exchanges {
		a := mix(-i) % accounts
		prompt.Reset()
		for j := 0; prompt.Len() < 300; j++ {
			fmt.Fprintf(&prompt, "%s%x ", []string{"re", "an", "to", "li"}[j%4], mix(i*64+j)%20_000)
		}
		at := begin.Add(time.Duration(float64(i) / float64(exchanges) * 10 * 24 * float64(time.Hour)))
		fmt.Fprintf(w, `{"kind":"exchange","id":"req-%d","time":"%s","account":"acct-%08d","credential":"key-%d","client":{"ip":"10.%d.%d.%d","asn":%d,"country":"DE","user_agent":"sdk/%d","tls":"t13d%d"},"api":"openai.chat","model":"atlas-%d",`+
			`"messages":[{"role":"user","text":"%s"}],"params":{"temperature":0.7,"max_tokens":512},"outcome":{"status":200,"finish":"stop","ms":900},"usage":{"input":80,"output":300}}`+"\n",
			i, at.Format(time.RFC3339Nano), a, a, own(a, 5, 250), own(a, 6, 250), own(a, 7, 250), own(a, 8, 60_000), own(a, 9, 40), own(a, 10, 60), own(a, 11, 3), prompt.Bytes())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// caller sends one request as one of the accounts.
type caller struct {
	base   string
	keys   []string
	client *http.Client
}

func (c *caller) send(n int) error {
	body := fmt.Sprintf(`{"model":"m","max_tokens":20,"messages":[{"role":"user","content":"question %d of %d about the part %x of the whole"}]}`, n%997, n%13, n*2654435761)
	req, err := http.NewRequest("POST", c.base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.keys[n%len(c.keys)])
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// makeKeys makes keys of accounts.
func makeKeys(t testing.TB, path string, n int) (out []string) {
	t.Helper()
	keys, err := credential.OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, secret, err := keys.Create(time.Now(), rand.Reader, credential.Grant{Account: fmt.Sprintf("acct-%d", i)}, time.Now().Add(24*time.Hour), "")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, secret.Reveal())
	}
	return out
}

// Half the peak rate for SERVE_SOAK: memory and goroutines stay, and so does the slowest hundredth of answers, as a multiple of
// what the same requests need that go past the gateway at the same time. The first window warms up and is not counted.
func TestSoak(t *testing.T) {
	program := os.Getenv("PALLADIUM")
	long, err := time.ParseDuration(os.Getenv("SERVE_SOAK"))
	if program == "" || err != nil {
		t.Skip("takes half an hour: make soak")
	}
	up := httptest.NewServer(upstream.New(upstream.Config{Log: -1, KeepBody: -1}).Handler())
	defer up.Close()
	p := begin(t, program, "credentials: {keys: '%D/keys.jsonl'}\nbudget: {plans: {default: {per_minute: {requests: unlimited, tokens: unlimited}, account: {day: {requests: unlimited, input: unlimited, output: unlimited}, month: {requests: unlimited, input: unlimited, output: unlimited}}}}}\n", up.URL)
	client := func() *http.Client {
		return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}
	}
	c := &caller{base: "http://" + p.callers, keys: makeKeys(t, filepath.Join(p.dir, "keys.jsonl"), 500), client: client()}
	past := &caller{base: up.URL, keys: c.keys, client: client()}
	p.start()
	rate := 0.0
	for range 2 { // the first round warms up
		rate = peak(t, c, 10*time.Second)
	}
	t.Logf("peak: %.0f exchanges/s", rate)
	table := steady(t, p, c, past, rate/2, long)[1:]
	for _, f := range compare(table) {
		t.Log(f.says)
		if f.wrong {
			t.Error(f.says)
		}
	}
}

// finding is what a comparison of the first third of a soak with its last came to.
type finding struct {
	says  string
	wrong bool
}

// growth is how much more than in the first third a figure may come to in the last.
const growth = 1.2

// compare holds the last third of the windows against the first. Answers are compared over windows in which the machine gave the
// load what it asked for, half of them and two at least in each third; where there are not, nothing is shown and that is wrong too.
func compare(table []minute) (out []finding) {
	third := max(1, len(table)/3)
	early, late := table[:third], table[len(table)-third:]
	judge := func(name string, early, late []minute, of func(minute) float64) {
		was, is := median(early, of), median(late, of)
		out = append(out, finding{fmt.Sprintf("%s: %.3g in the first third, %.3g in the last, %.2f times as much", name, was, is, is/was), !(is <= growth*was)})
	}
	judge("resident memory", early, late, func(m minute) float64 { return m.resident })
	judge("heap in use", early, late, func(m minute) float64 { return m.heap })
	judge("goroutines", early, late, func(m minute) float64 { return m.goroutines })
	failed := 0
	for _, m := range table {
		failed += m.failed
	}
	out = append(out, finding{fmt.Sprintf("%d requests failed", failed), failed > 0})
	usual := median(table, func(m minute) float64 { return m.past.Seconds() })
	fair := func(rows []minute) []minute {
		return slices.DeleteFunc(slices.Clone(rows), func(m minute) bool {
			return float64(m.sent) < 0.95*float64(m.due) || m.past.Seconds() > 2*usual
		})
	}
	first, last := fair(early), fair(late)
	if least := max(min(2, third), (third+1)/2); len(first) < least || len(last) < least {
		return append(out, finding{fmt.Sprintf("p99: nothing is shown, the machine was too busy: of %d windows each, %d and %d had the load asked for and a p99 past the gateway of at most twice the usual", third, len(first), len(last)), true})
	}
	judge("p99 over that past the gateway", first, last, func(m minute) float64 { return m.p99.Seconds() / m.past.Seconds() })
	return out
}

func median(rows []minute, of func(minute) float64) float64 {
	v := make([]float64, len(rows))
	for i, r := range rows {
		v[i] = of(r)
	}
	return stats.Median(v)
}

func TestCompareSoak(t *testing.T) {
	window := func(p99, past time.Duration) minute {
		return minute{due: 1000, sent: 1000, p99: p99, past: past, resident: 2e8, heap: 1e8, goroutines: 100}
	}
	repeat := func(n int, m minute) []minute { return slices.Repeat([]minute{m}, n) }
	ms := time.Millisecond
	calm, slow, busy := window(4*ms, 2*ms), window(8*ms, 2*ms), window(8*ms, 4*ms)
	starved, leak, lost := window(time.Second, 500*ms), calm, calm
	starved.sent, leak.heap, lost.failed = 300, 1.3e8, 1
	for name, c := range map[string]struct {
		table []minute
		wrong string // "" for nothing
	}{
		"as it was":                 {repeat(9, calm), ""},
		"slower":                    {slices.Concat(repeat(6, calm), repeat(3, slow)), "p99 over that past"},
		"slower with the machine":   {slices.Concat(repeat(6, calm), repeat(3, busy)), ""},
		"starved for a while":       {slices.Concat(repeat(5, calm), repeat(2, starved), repeat(5, calm)), ""},
		"starved at the end":        {slices.Concat(repeat(6, calm), repeat(3, starved)), "nothing is shown"},
		"heap grows":                {slices.Concat(repeat(6, calm), repeat(3, leak)), "heap in use"},
		"a request failed":          {slices.Concat(repeat(8, calm), repeat(1, lost)), "1 requests failed"},
		"slow, then as it was soon": {slices.Concat(repeat(3, slow), repeat(6, calm)), ""},
	} {
		for _, f := range compare(c.table) {
			if want := c.wrong != "" && strings.Contains(f.says, c.wrong); f.wrong != want {
				t.Errorf("%s: %v, %q", name, f.wrong, f.says)
			}
		}
	}
}

func peak(t *testing.T, c *caller, long time.Duration) float64 {
	ctx, stop := context.WithTimeout(context.Background(), long)
	defer stop()
	var work sync.WaitGroup
	counts := make([]int, 32)
	for i := range counts {
		work.Go(func() {
			for n := i; ctx.Err() == nil; n += len(counts) {
				if err := c.send(n); err != nil {
					t.Errorf("at peak: %v", err)
					return
				}
				counts[i]++
			}
		})
	}
	work.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / long.Seconds()
}

// minute is what was seen in a window: a minute, or a twelfth of the time where that is less.
type minute struct {
	due, sent, failed          int // requests that were to be answered in it, that were, and that failed
	p50, p99, past             time.Duration
	resident, heap, goroutines float64
}

// tally gathers what requests took, from several goroutines.
type tally struct {
	mu     sync.Mutex
	took   []time.Duration
	failed int
}

func (y *tally) send(c *caller, n int) {
	begun := time.Now()
	err := c.send(n)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.took = append(y.took, time.Since(begun))
	if err != nil {
		y.failed++
	}
}

// take returns what came since the last call, the fastest first.
func (y *tally) take() (took []time.Duration, failed int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	took, failed = y.took, y.failed
	y.took, y.failed = nil, 0
	slices.Sort(took)
	return took, failed
}

// quantile is 0 of nothing.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*percent/100]
}

// steady sends at a rate, and does not wait for slow answers before it sends the next: what waits for a connection counts. Every
// eighth request goes past the gateway as well, at the same moment.
func steady(t *testing.T, p *process, c, past *caller, rate float64, long time.Duration) (table []minute) {
	var own, control tally
	n, counted := 0, 0
	var work sync.WaitGroup
	start := time.Now()
	round := min(time.Minute, long/12)
	for at := start; time.Since(start) < long; {
		for next := at.Add(round); time.Now().Before(next); time.Sleep(time.Millisecond) {
			for due := int(time.Since(start).Seconds() * rate); n < due; n++ {
				i := n
				work.Go(func() { own.send(c, i) })
				if i%8 == 0 {
					work.Go(func() { control.send(past, i) })
				}
			}
		}
		at = at.Add(round)
		f := p.figures()
		took, failed := own.take()
		direct, lost := control.take()
		m := minute{
			due: n - counted, sent: len(took), failed: failed + lost, p50: percentile(took, 50), p99: percentile(took, 99), past: percentile(direct, 99),
			resident: f["process_resident_memory_bytes"], heap: f["go_memstats_heap_inuse_bytes"], goroutines: f["go_goroutines"],
		}
		counted = n
		table = append(table, m)
		t.Logf("%4.0f s: %6d answers of %6d, %d failed, p50 %v, p99 %v, past the gateway %v, %4.0f MB resident, heap %4.0f MB, %3.0f goroutines, %9.0f taken in, delay %.2f s", time.Since(start).Seconds(), m.sent, m.due, m.failed,
			m.p50.Round(time.Microsecond), m.p99.Round(time.Microsecond), m.past.Round(time.Microsecond), m.resident/1e6, m.heap/1e6, m.goroutines, f["palladium_detector_observations_total"], f["palladium_detector_delay_seconds"])
	}
	work.Wait()
	return table
}
