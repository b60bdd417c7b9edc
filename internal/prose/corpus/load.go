package corpus

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/palladium-guard/palladium/internal/prose"
)

// maxText is the longest prompt taken from a file, in bytes.
const maxText = 4000

// loader reads the files of a data folder.
type loader struct {
	fsys fs.FS
	half int
	c    *Corpus
}

// Load reads real prompts and arrivals from a data folder (its MANIFEST.md names the files). half, 0 or 1,
// takes one half of the templates, of the model-made instructions, of the people and of the applications' arrivals,
// so that an evaluation can hold out sources that tuning has not seen. Within a half, templates that attackers use
// are never used by benign applications.
func Load(fsys fs.FS, half int) (*Corpus, error) {
	if half != 0 && half != 1 {
		return nil, fmt.Errorf("load corpus: half is %d, use 0 or 1", half)
	}
	l := &loader{fsys: fsys, half: half, c: &Corpus{Book: prose.New(uint64(1000 + half))}}
	var errs []error
	for _, step := range []func() error{l.people, l.asks, l.support, l.templates, l.promptsource, l.instructions, l.benchmarks,
		l.toolPrompts, l.shapes, l.sittings} {
		errs = append(errs, step())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("load corpus, is this the data folder? %w", err)
	}
	return l.c, nil
}

// part splits by name into four: which half, and whether attackers have it.
func (l *loader) part(name string) (mine, hostile bool) {
	h := uint64(0)
	for _, b := range []byte(name) {
		h = prose.Mix(h, uint64(b))
	}
	return int(h&1) == l.half, h&2 != 0
}

// rows calls row for each JSON line of a file.
func rows[T any](fsys fs.FS, name string, row func(*T)) error {
	return scan(fsys, name, func(line []byte) error {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("decode %s: %w", name, err)
		}
		row(&v)
		return nil
	})
}

// scan calls row for each line of a gzip file.
func scan(fsys fs.FS, name string, row func([]byte) error) error {
	f, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("open corpus file: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("decompress %s: %w", name, err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(make([]byte, 1<<16), 1<<22)
	for s.Scan() {
		if err := row(s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func clip(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "")
	if len(s) > maxText {
		s = s[:cutAt(s, maxText)]
	}
	return strings.ToValidUTF8(s, "")
}

// people takes what single people wrote in a chat room, and the hours at which they did.
func (l *loader) people() error {
	type row struct{ User, Hm, Text string }
	threads := map[string][]string{}
	err := rows(l.fsys, "human/ubuntu_irc.jsonl.gz", func(r *row) {
		if h, err := strconv.Atoi(strings.SplitN(r.Hm, ":", 2)[0]); err == nil && h >= 0 && h < 24 {
			l.c.Hours[h]++
		}
		if mine, _ := l.part(r.User); mine && len(r.Text) > 7 {
			threads[r.User] = append(threads[r.User], clip(r.Text))
		}
	})
	top := slices.Max(l.c.Hours[:])
	for i := range l.c.Hours {
		l.c.Hours[i] /= max(1, top)
	}
	for _, user := range sortedKeys(threads) {
		if len(threads[user]) >= 8 {
			l.c.Threads = append(l.c.Threads, threads[user])
		}
	}
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// asks takes prompts that people wrote to assistants.
func (l *loader) asks() error {
	type row struct {
		Prompt string
		Turns  []string
	}
	take := func(r *row) {
		for _, t := range append(r.Turns, r.Prompt) {
			if mine, _ := l.part(t); mine && len(t) > 10 && len(t) < 2000 {
				l.c.Asks = append(l.c.Asks, clip(t))
			}
		}
	}
	return errors.Join(rows(l.fsys, "human/arena_hard.jsonl.gz", take), rows(l.fsys, "human/awesome_chatgpt_prompts.jsonl.gz", take),
		rows(l.fsys, "human/mt_bench.jsonl.gz", take), rows(l.fsys, "human/vicuna_bench.jsonl.gz", take))
}

func (l *loader) support() error {
	type row struct{ Text, Intent string }
	intents := map[string][]string{}
	err := rows(l.fsys, "human/clinc150.jsonl.gz", func(r *row) {
		if mine, _ := l.part(r.Intent); mine {
			intents[r.Intent] = append(intents[r.Intent], r.Text)
		}
	})
	for _, k := range sortedKeys(intents) {
		l.c.Support = append(l.c.Support, intents[k])
	}
	return err
}

// family is the data set that a template is made for: templates of one data set stay on one side.
func family(name string) string {
	if i := strings.IndexAny(name, "_/-"); i > 0 {
		return strings.ToLower(name[:i])
	}
	return strings.ToLower(name)
}

// templates takes wordings and slot texts from filled templates: what all prompts of one template begin and end with
// is its wording.
func (l *loader) templates() error {
	type row struct{ Template, Prompt string }
	byName := map[string][]string{}
	err := rows(l.fsys, "distill/t0_prompts.jsonl.gz", func(r *row) {
		byName[r.Template] = append(byName[r.Template], clip(r.Prompt))
	})
	for _, name := range sortedKeys(byName) {
		head, tail := sharedEnds(byName[name])
		if len(strings.Fields(head))+len(strings.Fields(tail)) >= 4 {
			l.form(head, tail)
		}
		mine, hostile := l.part(family(name))
		if !mine {
			continue
		}
		for _, p := range byName[name] {
			if slot := strings.TrimSpace(p[len(head) : len(p)-len(tail)]); len(slot) > 20 {
				if len(slot) > 900 {
					slot = slot[:cutAt(slot, 900)]
				}
				l.slot(hostile, slot)
			}
		}
	}
	return err
}

// form gives a wording to the side, and the half, that its longest part says: the same words never serve two.
func (l *loader) form(parts ...string) {
	longest := ""
	for _, p := range parts {
		if p = strings.Join(strings.Fields(strings.ToLower(p)), " "); len(p) > len(longest) {
			longest = p
		}
	}
	mine, hostile := l.part(longest)
	switch {
	case !mine:
	case hostile:
		l.c.Forms = append(l.c.Forms, Form{parts})
	default:
		l.c.AppForms = append(l.c.AppForms, Form{parts})
	}
}

func (l *loader) slot(hostile bool, text string) {
	if hostile {
		l.c.Slots = append(l.c.Slots, text)
	} else {
		l.c.AppSlots = append(l.c.AppSlots, text)
	}
}

// sharedEnds returns what all texts begin and end with, cut at words; together never longer than a text.
func sharedEnds(texts []string) (head, tail string) {
	head, tail = texts[0], texts[0]
	for _, t := range texts[1:] {
		n := 0
		for n < len(head) && n < len(t) && head[n] == t[n] {
			n++
		}
		head = head[:n]
		n = 0
		for n < len(tail) && n < len(t) && tail[len(tail)-1-n] == t[len(t)-1-n] {
			n++
		}
		tail = tail[len(tail)-n:]
	}
	head = head[:strings.LastIndexAny(head, " \n")+1]
	if i := strings.IndexAny(tail, " \n"); i >= 0 {
		tail = tail[i:]
	} else {
		tail = ""
	}
	for _, t := range texts {
		if len(head)+len(tail) > len(t) {
			tail = ""
		}
	}
	return head, tail
}

// promptsource takes the fixed words of templates in the jinja language.
func (l *loader) promptsource() error {
	type row struct{ Jinja string }
	return rows(l.fsys, "distill/promptsource_templates.jsonl.gz", func(r *row) {
		if parts := jinjaParts(r.Jinja); parts != nil {
			l.form(parts...)
		}
	})
}

// jinjaParts returns the text between the slots of a template's question; nil when there is too little of it or its
// control flow leaves nothing usable.
func jinjaParts(text string) []string {
	text, _, _ = strings.Cut(text, "|||")
	var parts []string
	var cur strings.Builder
	words := 0
	for text != "" {
		i := strings.IndexByte(text, '{')
		if i < 0 || i+1 >= len(text) {
			cur.WriteString(text)
			break
		}
		cur.WriteString(text[:i])
		closing := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[text[i+1]]
		end := strings.Index(text[i:], closing)
		if closing == "" || end < 0 {
			cur.WriteByte('{')
			text = text[i+1:]
			continue
		}
		if text[i+1] == '{' {
			words += len(strings.Fields(cur.String()))
			parts = append(parts, cur.String())
			cur.Reset()
		}
		text = text[i+end+2:]
	}
	parts = append(parts, cur.String())
	if words += len(strings.Fields(cur.String())); len(parts) < 2 || len(parts) > 5 || words < 6 {
		return nil
	}
	return parts
}

// instructions takes instructions that a model made: one source for each half.
func (l *loader) instructions() error {
	type row struct{ Instruction, Input string }
	name := []string{"distill/gpteacher_toolformer.jsonl.gz", "distill/gpteacher_roleplay.jsonl.gz"}[l.half]
	return rows(l.fsys, name, func(r *row) {
		text := r.Instruction
		if l.half == 0 { // the task stands in the last line, after the description of the tool
			text = text[strings.LastIndexByte(text, '\n')+1:]
		}
		if r.Input != "" {
			text += "\n" + r.Input
		}
		l.c.Generated = append(l.c.Generated, clip(text))
	})
}

// benchmarks takes public lists of questions. They are open to all; each half has its own questions.
func (l *loader) benchmarks() error {
	type row struct{ Set, Question string }
	lists := map[string][]string{}
	take := func(r *row) {
		if mine, _ := l.part(r.Question); mine {
			lists[r.Set] = append(lists[r.Set], clip(r.Question))
		}
	}
	err := errors.Join(rows(l.fsys, "distill/gsm8k_train.jsonl.gz", take), rows(l.fsys, "distill/flan_cot.jsonl.gz", take))
	for _, k := range sortedKeys(lists) { // the nameless set of word problems comes first
		l.c.Benches = append(l.c.Benches, lists[k])
		if k != "" {
			for i, q := range lists[k] {
				l.slot(i%2 == 0, q)
			}
		}
	}
	return err
}

func (l *loader) toolPrompts() error {
	type row struct{ Tool, Prompt string }
	return rows(l.fsys, "reference/tool_prompts.jsonl.gz", func(r *row) {
		l.c.Tools = append(l.c.Tools, Tool{r.Tool, r.Prompt})
	})
}

// shapes takes the load of real applications over two weeks.
func (l *loader) shapes() error {
	type load struct {
		rates  []float64
		cv, at float64
	}
	clients := map[string]*load{}
	err := scan(l.fsys, "traces/servegen_arrivals.csv.gz", func(line []byte) error {
		f := strings.Split(string(line), ",")
		if mine, _ := l.part(f[0]); !mine || len(f) < 4 || f[0] == "client" {
			return nil
		}
		start, err1 := strconv.ParseFloat(f[1], 64)
		rate, err2 := strconv.ParseFloat(f[2], 64)
		cv, err3 := strconv.ParseFloat(f[3], 64)
		if err := cmp.Or(err1, err2); err != nil {
			return fmt.Errorf("parse arrivals of client %s: %w", f[0], err)
		}
		c := clients[f[0]]
		if c == nil {
			c = &load{}
			clients[f[0]] = c
		}
		w := int(start / 600)
		for len(c.rates) <= w && w < 5000 {
			c.rates = append(c.rates, 0)
		}
		c.rates[min(w, len(c.rates)-1)] = rate
		if err3 == nil && cv > 0 {
			c.cv, c.at = c.cv+cv, c.at+1
		}
		return nil
	})
	for _, k := range sortedKeys(clients) {
		c := clients[k]
		for len(c.rates)%144 != 0 { // whole days
			c.rates = append(c.rates, 0)
		}
		if len(c.rates) >= 144 {
			l.c.Loads = append(l.c.Loads, LoadShape{c.rates, min(4, max(0.5, c.cv/max(1, c.at)))})
		}
	}
	return err
}

// sittings takes the intervals of real users within half an hour.
func (l *loader) sittings() error {
	last, user := 0.0, ""
	err := scan(l.fsys, "traces/gentd26_users.csv.gz", func(line []byte) error {
		u, s, _ := strings.Cut(string(line), ",")
		t, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil // the header
		}
		if u == user && t > last && t-last < 1800 {
			l.c.Gaps = append(l.c.Gaps, float32(t-last))
		}
		user, last = u, t
		return nil
	})
	return err
}
