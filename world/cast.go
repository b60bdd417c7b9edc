package world

import (
	"github.com/palladium-guard/palladium/internal/arrival"
	"github.com/palladium-guard/palladium/internal/prose/corpus"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
)

// cast is a population with its actors.
type cast struct {
	seed     uint64
	start    int64
	end      int64
	accounts []palladium.Account
	truths   []AccountTruth
	fleets   []CampaignTruth
	actors   []actor
	first    []int64 // when each actor acts first
}

// caster makes a cast.
type caster struct {
	*cast
	w       *World
	s       *Scenario
	c       *Corpus
	r       *rand.Rand
	groups  map[Class]int
	people  int // people made so far
	threads []int32
	frames  []*frame // of people's own clients
	tools   []*frame
	release int64
}

// populate makes the cast of the scenario. It is the same at every call.
func (w *World) populate() *cast {
	s := &w.scenario
	b := &caster{w: w, s: s, c: w.corpus, r: rand.New(rand.NewPCG(s.Seed, 0x9a11ad)), groups: map[Class]int{}}
	start := s.Start.UnixMilli()
	b.cast = &cast{seed: s.Seed, start: start, end: start + int64(s.Days*float64(arrival.Day))}
	if s.Release > 0 {
		b.release = start + int64(s.Release*float64(arrival.Day))
	}
	for i := range w.corpus.Threads {
		b.threads = append(b.threads, int32(i))
	}
	b.r.Shuffle(len(b.threads), func(i, j int) { b.threads[i], b.threads[j] = b.threads[j], b.threads[i] })
	for i := range 8 {
		f := &frame{words: 60 + 20*i, think: 40 * (i % 3), chat: true}
		if i%3 == 1 {
			f.system = "You are a helpful assistant."
		}
		b.frames = append(b.frames, f)
	}
	for i, t := range w.corpus.Tools {
		b.tools = append(b.tools, &frame{system: t.Prompt, tools: []string{"shell", "read_file", "apply_patch_" + strconv.Itoa(i)}, words: 90, think: 120})
	}
	for range s.Benign.People {
		acc, wire := b.account(ClassPerson, "")
		b.personOn(acc, wire, 1)
	}
	for range s.Benign.Apps {
		acc, wire := b.account(ClassApp, "")
		wire.place = placeCloud
		b.solo(acc, wire, b.program(), b.appClock(5))
	}
	for _, class := range HardNegatives() {
		for range s.Benign.Groups[class] {
			b.group(class)
		}
	}
	for i := range s.Campaigns {
		b.campaign(&s.Campaigns[i], i)
	}
	return b.cast
}

// rng returns a generator of its own for the next actor.
func (b *caster) rng() *rand.Rand { return rand.New(rand.NewPCG(b.r.Uint64(), b.r.Uint64())) }

// account adds an account with an ordinary technical side.
func (b *caster) account(class Class, group string) (int32, *wire) {
	w := newWire(b.r, &b.s.Style, b.w.tuples)
	if b.r.Float64() < b.s.Style.Params {
		w.params = drawParams(b.r)
	}
	if b.release > 0 && b.r.Float64() < 0.7 {
		w.adopt = b.release + int64(b.r.ExpFloat64()*12*float64(arrival.Day))
	}
	a := newAccount(b.r, b.s, &w)
	w.cred = "key-" + a.ID[5:15]
	recorded := b.r.Float64() < b.s.Style.Records
	if !b.s.Style.Created {
		a.Created = time.Time{}
	}
	b.accounts = append(b.accounts, a)
	b.truths = append(b.truths, AccountTruth{ID: a.ID, Class: class, Group: group, Recorded: recorded})
	return int32(len(b.accounts) - 1), &w
}

// solo lets the account act by itself.
func (b *caster) solo(acc int32, w *wire, v voice, k arrival.Clock) *solo {
	a := &solo{r: b.rng(), clock: k, voice: v, wire: w, until: b.end, campaign: -1, fuss: 80}
	if v.frame().chat {
		a.chat = uint8(100 * b.s.Style.MultiTurn)
	}
	a.line = line{acc: acc, seed: a.r.Uint64(), key: a.r.Uint64()}
	from := b.start
	if made := b.accounts[acc].Created; !made.IsZero() {
		from = max(from, made.UnixMilli())
	}
	b.actors = append(b.actors, a)
	b.first = append(b.first, settle(a.r, k, from))
	return a
}

// settle returns the first time of k from on. A renewal clock runs for some days before, or all applications would
// start together.
func settle(r *rand.Rand, k arrival.Clock, from int64) int64 {
	t := from
	if _, renewal := k.(*arrival.Shaped); renewal {
		t -= r.Int64N(3 * arrival.Day)
	}
	for t = k.Next(r, t); t < from; {
		t = k.Next(r, t)
	}
	return t
}

// examine is a solo whose seeds count the questions.
func (b *caster) examine(acc int32, w *wire, v voice, k arrival.Clock) {
	a := b.solo(acc, w, v, k)
	a.serial, a.line.seed = true, 0
}

// personOn puts a person on the account, with rate relative to the usual.
func (b *caster) personOn(acc int32, w *wire, rate float64) *solo {
	return b.solo(acc, w, b.person(), b.personClock(rate))
}

func (b *caster) personClock(rate float64) *arrival.Sittings {
	st := &b.s.Style
	return &arrival.Sittings{
		Habits:   b.w.habits,
		PerDay:   min(30, 0.33*rate*st.Rate*math.Exp(st.Spread*b.r.NormFloat64())),
		Size:     1 + 5*b.r.Float64(),
		Zone:     int64(b.r.IntN(24)-11) * arrival.Hour,
		Weekdays: b.r.IntN(3) > 0,
	}
}

// person makes a person's voice. The first ones take the real threads, one each; later ones share them reworded.
func (b *caster) person() *person {
	p := &person{f: b.frames[b.r.IntN(len(b.frames))], id: b.r.Uint64(), thread: -1}
	if n := len(b.threads); n > 0 && b.r.Float64() < b.s.Style.RealText {
		p.alone = b.people < n
		if p.alone {
			p.thread = b.threads[b.people]
		} else {
			p.thread, p.second = b.threads[b.r.IntN(n)], b.threads[b.r.IntN(n)]
			p.reworks = int8(25 + b.r.IntN(25))
		}
		b.people++
	}
	return p
}

// crowdOf makes a voice of n people.
func (b *caster) crowdOf(n int) *crowd {
	v := &crowd{f: b.frames[b.r.IntN(len(b.frames))]}
	for range n {
		p := b.person()
		if p.alone { // the thread stays with one account
			p.alone, p.second, p.reworks = false, p.thread, 35
		}
		v.members = append(v.members, p)
	}
	return v
}

// program makes the voice of an application: its system prompt, one template or two, its parameters.
func (b *caster) program() *program {
	f := &frame{words: 20 + b.r.IntN(150), think: b.r.IntN(3) * 30}
	if b.r.IntN(5) > 0 {
		f.system = b.c.Book.System(b.r.Uint64())
	}
	if b.r.Float64() < b.s.Style.Params*1.4 {
		f.params = drawParams(b.r)
	}
	v := &program{f: f}
	for range 1 + b.r.IntN(3) {
		v.forms = append(v.forms, b.ownForm())
	}
	if b.r.IntN(8) == 0 { // honest programs ask for steps too
		f.system += string(b.c.Book.Cue(nil, b.r.Uint64()))
	}
	if b.r.IntN(6) > 0 {
		v.about = b.c.Narrow(b.r.Uint64())
	}
	return v
}

// ownForm takes a benign template and, for most programs, gives it a wording of its own, as two teams seldom write
// the same sentence.
func (b *caster) ownForm() corpus.Form {
	f := b.c.AppForms[b.r.IntN(len(b.c.AppForms))]
	if b.r.IntN(6) == 0 {
		return f
	}
	seed := b.r.Uint64()
	out := corpus.Form{Parts: slices.Clone(f.Parts)}
	for i, p := range out.Parts {
		out.Parts[i] = string(b.c.Book.Paraphrase(nil, p, seed+uint64(i)))
	}
	if b.r.IntN(2) == 0 {
		out.Parts[0] = string(b.c.Book.Passage(nil, seed, 1)) + "\n" + out.Parts[0]
	}
	return out
}

// appClock makes the clock of an application with mean requests a day, heavy-tailed. A rare heavy one is
// cut at 2,000 a day.
func (b *caster) appClock(mean float64) *arrival.Shaped {
	perDay := mean * b.s.Style.Rate * math.Exp(1.3*b.r.NormFloat64()-1.3*1.3/2)
	return &arrival.Shaped{Shape: &b.w.shapes[b.r.IntN(len(b.w.shapes))], PerDay: min(2000, max(0.3, perDay)), Phase: b.r.Int64N(7 * arrival.Day)}
}

// fleetOf makes a dispatcher over accounts. The caller sets what differs and calls launch.
func (b *caster) fleetOf(accounts []int32, wires []*wire, work voice, k arrival.Clock) *fleet {
	f := &fleet{r: b.rng(), key: b.r.Uint64(), accounts: accounts, wires: wires, work: work, clock: k,
		source: b.start, until: b.end, sticky: arrival.Hour, campaign: -1}
	for _, acc := range accounts { // a dispatcher deals to all from the start
		if a := &b.accounts[acc]; a.Created.UnixMilli() > b.start && b.truths[acc].Class != ClassCampaign {
			a.Created = b.s.Start.Add(-time.Duration(b.r.ExpFloat64() * 60 * 24 * float64(time.Hour)))
		}
	}
	f.ring.order, f.seats = make([]int32, len(accounts)), make([]int32, len(accounts))
	for i := range f.ring.order {
		f.ring.order[i], f.seats[i] = int32(i), int32(i)
	}
	f.r.Shuffle(len(accounts), func(i, j int) {
		f.ring.order[i], f.ring.order[j] = f.ring.order[j], f.ring.order[i]
	})
	return f
}

func (b *caster) launch(f *fleet) {
	f.source = settle(f.r, f.clock, f.source)
	b.actors = append(b.actors, f)
	b.first = append(b.first, f.advance())
}

// campaign adds a hostile campaign.
func (b *caster) campaign(spec *CampaignSpec, index int) {
	id := spec.Name
	if id == "" {
		id = "campaign-" + strconv.Itoa(index+1)
	}
	start := b.start + int64(spec.Start*float64(arrival.Day))
	end := b.end
	if spec.Days > 0 {
		end = min(end, start+int64(spec.Days*float64(arrival.Day)))
	}
	truth := CampaignTruth{ID: id, Spec: *spec}
	k := b.campaignIdentity(spec, start)
	var accounts []int32
	var wires []*wire
	for i := range spec.Accounts {
		acc, w := b.account(ClassCampaign, "")
		b.truths[acc].Campaign = id
		k.disguise(b, acc, w, i)
		if a := &b.accounts[acc]; spec.Scheduler != SchedulerIndependent && a.Created.UnixMilli() > start {
			a.Created = k.created.Add(-time.Duration(b.r.ExpFloat64() * 90 * 24 * float64(time.Hour)))
		}
		accounts, wires = append(accounts, acc), append(wires, w)
		truth.Accounts = append(truth.Accounts, b.accounts[acc].ID)
	}
	b.fleets = append(b.fleets, truth)
	if spec.Scheduler == SchedulerIndependent {
		slices.Sort(b.fleets[index].Accounts)
		b.independents(spec, index, accounts, wires, start, end)
		return
	}
	perDay := spec.Rate * float64(spec.Accounts) * (1 - spec.MultiTurn) / (1 + spec.Failover) // follow-ups and retries are requests too
	f := b.fleetOf(accounts, wires, nil, &arrival.Flat{Habits: b.w.habits, PerDay: perDay, Rhythm: spec.Rhythm, Zone: int64(b.r.IntN(24)) * arrival.Hour})
	f.campaign, f.source, f.until = int32(index), start, end
	f.failover, f.jitter, f.multi = spec.Failover, spec.Jitter.Milliseconds(), spec.MultiTurn
	f.probe, f.grade = spec.Probe, spec.Grade
	f.work = b.harvest(spec, f.key)
	f.random = spec.Scheduler == SchedulerRandom
	if spec.Scheduler == SchedulerQuota {
		sum := 0.0
		for range accounts {
			sum += math.Exp(0.8 * b.r.NormFloat64())
			f.quota = append(f.quota, sum)
		}
	}
	if spec.Camouflage > 0 && spec.Cover == CoverPooled {
		f.cover, f.covered = b.crowdOf(20+3*spec.Accounts), spec.Camouflage
	}
	if spec.Camouflage > 0 && spec.Cover == CoverPersona {
		f.clock.(*arrival.Flat).PerDay *= 1 - spec.Camouflage
		b.personas(spec, index, accounts, wires, start, end)
	}
	b.rotate(f, spec, k, &b.fleets[index], start, end)
	slices.Sort(b.fleets[index].Accounts)
	b.launch(f)
}

// rotate gives up accounts of the fleet one after the other, at even times, for new ones of the same make that were signed up
// within the day before.
func (b *caster) rotate(f *fleet, spec *CampaignSpec, k *disguise, truth *CampaignTruth, start, end int64) {
	if spec.Rotate == 0 {
		return
	}
	pause := float64(arrival.Day) / (spec.Rotate * float64(spec.Accounts))
	for n := 1; ; n++ {
		t := start + int64(float64(n)*pause)
		if t >= end {
			return
		}
		acc, w := b.account(ClassCampaign, "")
		b.truths[acc].Campaign = truth.ID
		k.disguise(b, acc, w, n-1)
		made := time.UnixMilli(t - b.r.Int64N(arrival.Day)).UTC()
		a := &b.accounts[acc]
		if a.SignupIP, _ = w.address(b.r, made.UnixMilli()); b.s.Style.Created {
			a.Created = made
		}
		truth.Accounts = append(truth.Accounts, a.ID)
		f.reliefs = append(f.reliefs, relief{t: t, seat: int32((n - 1) % spec.Accounts), slot: int32(len(f.accounts))})
		f.accounts, f.wires = append(f.accounts, acc), append(f.wires, w)
	}
}

// personas lets each account of a campaign also act as a person of its own, for the covered share of its rate.
func (b *caster) personas(spec *CampaignSpec, index int, accounts []int32, wires []*wire, start, end int64) {
	for i, acc := range accounts {
		a := b.personOn(acc, wires[i], 1)
		b.pace(a, spec.Rate*spec.Camouflage, start, end)
		a.campaign = int32(index)
	}
}

// independents lets each account of a negative control keep a person's hours.
func (b *caster) independents(spec *CampaignSpec, index int, accounts []int32, wires []*wire, start, end int64) {
	key := b.r.Uint64()
	work := b.harvest(spec, key)
	for i, acc := range accounts {
		a := b.personOn(acc, wires[i], 1)
		if spec.Text != TextPersona {
			a.voice = work
		}
		b.pace(a, spec.Rate, start, end)
		a.campaign = int32(index)
	}
}

// pace sets a person's mean rate and the time in which it acts.
func (b *caster) pace(a *solo, perDay float64, start, end int64) {
	k := a.clock.(*arrival.Sittings)
	spread := math.Exp(0.5*b.r.NormFloat64() - 0.125)
	k.PerDay = perDay * spread / (0.55 * (1 + k.Size))
	a.until = end
	made := b.accounts[a.line.acc].Created
	from := start
	if !made.IsZero() {
		from = max(from, made.UnixMilli())
	}
	b.first[len(b.first)-1] = k.Next(a.r, from)
}

// harvest makes the voice of a campaign.
func (b *caster) harvest(spec *CampaignSpec, key uint64) voice {
	switch spec.Text {
	case TextPeople, TextPersona:
		return b.crowdOf(max(500, 4*spec.Accounts))
	}
	f := &frame{words: 130, think: 200}
	if b.r.IntN(2) == 0 {
		f.params = drawParams(b.r)
		f.params.Has |= palladium.HasMaxTokens
		f.params.MaxTokens = 4096
	}
	v := &harvester{f: f, text: spec.Text, cues: spec.Cues, key: key, scale: b.s.Style.Length}
	if spec.Narrow {
		v.about = b.c.Narrow(key)
	}
	for i := range spec.Forms {
		own := corpus.Form{Parts: b.c.Book.Form(prose.Mix(key, uint64(i)), spec.Cues)}
		if n := len(b.c.Forms); n > 0 && b.r.IntN(4) > 0 {
			own = corpus.Form{Parts: slices.Clone(b.c.Forms[b.r.IntN(n)].Parts)}
			if spec.Cues {
				own.Parts[0] = string(b.c.Book.Cue(nil, uint64(i)))[1:] + " " + own.Parts[0]
			}
		}
		v.forms = append(v.forms, own)
	}
	switch spec.Text {
	case TextGenerated:
		v.list = b.c.Generated
	case TextQueue:
		v.list = b.c.Benches[0]
	}
	return v
}
