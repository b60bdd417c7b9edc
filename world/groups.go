package world

import (
	"github.com/palladium-guard/palladium/internal/arrival"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
)

// size draws lo to hi, small ones more often.
func (b *caster) size(lo, hi int) int {
	u := b.r.Float64()
	return lo + int(u*u*float64(hi-lo+1))
}

// members adds n accounts of one group.
func (b *caster) members(class Class, group string, n int) ([]int32, []*wire) {
	var accounts []int32
	var wires []*wire
	for range n {
		acc, w := b.account(class, group)
		accounts, wires = append(accounts, acc), append(wires, w)
	}
	return accounts, wires
}

// group adds one group of a hard-negative class.
func (b *caster) group(class Class) {
	b.groups[class]++
	name := string(class) + "-" + strconv.Itoa(b.groups[class])
	switch class {
	case ClassTool:
		b.toolUsers(name)
	case ClassEvaluator, ClassRelease:
		b.evaluators(class, name)
	case ClassCohort:
		b.cohort(name)
	case ClassNAT:
		b.site(name)
	case ClassReseller:
		b.reseller(name)
	case ClassAgency:
		b.agency(name)
	default:
		b.house(class, name)
	}
}

// house adds the accounts of one organisation that does the job of class.
func (b *caster) house(class Class, name string) {
	n := map[Class][2]int{ClassOrganization: {2, 50}, ClassSupport: {1, 3}, ClassNightly: {1, 4}, ClassJudge: {1, 3}, ClassSynthetic: {1, 6},
		ClassRouter: {2, 5}, ClassReview: {3, 10}, ClassBackfill: {1, 2}, ClassGateway: {1, 5}, ClassAudit: {1, 3}}[class]
	accounts, wires := b.members(class, name, b.size(max(1, n[0]), max(1, n[1])))
	b.oneOwner(accounts, wires, palladium.RelationTenant)
	seed := b.r.Uint64()
	var book *prose.Book
	if seed%4 > 0 {
		book = b.c.Book.Narrow(seed, 2)
	}
	var v voice
	var k arrival.Clock
	f := &frame{words: 60 + b.r.IntN(80), params: drawParams(b.r)}
	switch class {
	case ClassSupport:
		f.system = b.c.Book.System(seed)
		v, k = &supportBot{f: f, app: seed, intents: b.intents()}, &arrival.Flat{Habits: b.w.habits, PerDay: 15 * b.s.Style.Rate * float64(len(accounts)), Rhythm: 0.7}
	case ClassNightly, ClassDrift:
		v = &worker{f: f, kind: ClassDrift, own: seed}
		if class == ClassNightly {
			v = b.examiner(60 + b.r.IntN(100))
		}
		k = &arrival.Cron{Period: arrival.Day, Phase: b.r.Int64N(arrival.Day), Size: 12 + b.r.IntN(20), Gap: 3 * arrival.Second}
	case ClassJudge:
		f.words = 15
		v, k = &judging{f: f, rubric: string(b.c.Book.Passage(nil, seed, 4)), own: seed, book: b.c.Book.Narrow(seed, 4)}, b.appClock(15)
	case ClassSynthetic:
		f.words = 200
		v, k = &worker{f: f, kind: class, own: seed, head: b.c.Book.Form(seed, false)[0], book: book}, b.appClock(25*float64(len(accounts)))
	case ClassReview:
		f.system = b.c.Book.System(seed)
		v, k = &worker{f: f, kind: class, own: seed, head: "Review this change.\n"}, b.appClock(12*float64(len(accounts)))
	case ClassBackfill:
		v, k = &worker{f: f, kind: class, own: seed, head: "Summarise for the index:\n", book: book}, &arrival.Burst{Start: b.someday(), Gap: 4 * arrival.Second, Left: b.size(150, 900)}
	case ClassShared, ClassGateway:
		v, k = b.crowdOf(10+20*len(accounts)), &arrival.Flat{Habits: b.w.habits, PerDay: 15 * b.s.Style.Rate * float64(len(accounts)), Rhythm: 0.9, Zone: b.r.Int64N(arrival.Day)}
	case ClassCron:
		v, k = b.program(), &arrival.Cron{Period: []int64{2 * arrival.Hour, 4 * arrival.Hour, 6 * arrival.Hour, arrival.Day, arrival.Hour}[b.r.IntN(5)], Phase: b.r.Int64N(arrival.Hour), Size: b.size(1, 5), Gap: 2 * arrival.Second}
	case ClassAudit:
		p := b.program()
		p.f.system += string(b.c.Book.Cue(nil, seed)) + " It is kept for the auditors."
		v, k = p, b.appClock(20*float64(len(accounts)))
	default:
		v, k = b.program(), b.appClock(9*float64(len(accounts)))
	}
	b.houseNetwork(class, wires)
	_, isExam := v.(*examiner)
	if len(accounts) == 1 {
		a := b.solo(accounts[0], wires[0], v, k)
		if a.serial = isExam || class == ClassDrift; a.serial {
			a.line.seed = 0
		}
		return
	}
	if class == ClassOrganization && b.r.IntN(2) == 0 { // each key its own stage of the same product
		for i, acc := range accounts {
			b.solo(acc, wires[i], v, b.appClock(9))
		}
		return
	}
	fl := b.fleetOf(accounts, wires, v, k)
	fl.random = b.r.IntN(3) == 0
	if class == ClassRouter {
		fl.failover = 0.03 + 0.1*b.r.Float64()
	}
	if v.frame().chat {
		fl.multi = b.s.Style.MultiTurn
	}
	b.launch(fl)
}

// houseNetwork puts the accounts of one organisation behind its network.
func (b *caster) houseNetwork(class Class, wires []*wire) {
	for _, w := range wires {
		w.place, w.key, w.isp, w.client, w.device = placeCloud, wires[0].key, wires[0].isp, wires[0].client, ""
		switch class {
		case ClassReview:
			w.place = placeRunner
		case ClassShared:
			w.place = placeEverywhere
		case ClassGateway:
			w.bare = true
		}
	}
}

// someday is a time in the world, not in its last tenth.
func (b *caster) someday() int64 { return b.start + b.r.Int64N(max(1, (b.end-b.start)*9/10)) }

// intents draws what a support bot is asked about.
func (b *caster) intents() []int32 {
	var out []int32
	for range 3 + b.r.IntN(4) {
		out = append(out, int32(b.r.IntN(max(1, len(b.c.Support)))))
	}
	return out
}

// oneOwner gives accounts one owner's records. Some are vouched for, some declare the organisation, some say nothing.
func (b *caster) oneOwner(accounts []int32, wires []*wire, relation palladium.Relation) {
	first := b.accounts[accounts[0]]
	organization := b.c.Book.Word(b.r.Uint64()) + " " + []string{"Ltd", "Labs", "GmbH", "Inc"}[b.r.IntN(4)]
	kind := b.r.IntN(10)
	for i, acc := range accounts {
		a := &b.accounts[acc]
		a.Payment, a.BIN, a.EmailDomain, a.PhonePrefix = first.Payment, first.BIN, first.EmailDomain, first.PhonePrefix
		a.SignupIP, a.Plan = first.SignupIP, first.Plan
		if kind < 4 {
			a.Relation = relation
		}
		if kind < 7 {
			a.Organization = organization
		}
		wires[i].model, wires[i].adopt = wires[0].model, wires[0].adopt
	}
}

// signUpTogether dates the accounts within a few days around the given one.
func (b *caster) signUpTogether(accounts []int32, around time.Time, within time.Duration) {
	for _, acc := range accounts {
		if b.s.Style.Created {
			b.accounts[acc].Created = around.Add(time.Duration(b.r.Float64() * float64(within)))
		}
	}
}

// toolUsers adds users of one open tool.
func (b *caster) toolUsers(name string) {
	t := b.r.IntN(len(b.tools))
	accounts, wires := b.members(ClassTool, name, b.size(30, 150))
	client := len(b.w.tuples) - 1 - t
	for i, acc := range accounts {
		wires[i].client = uint16(client)
		b.solo(acc, wires[i], &worker{f: b.tools[t], kind: ClassTool, own: b.r.Uint64()}, b.personClock(2))
	}
}

func (b *caster) examiner(size int) *examiner {
	list := b.c.Benches[b.r.IntN(len(b.c.Benches))]
	seed := b.r.Uint64()
	v := &examiner{f: &frame{words: 50, params: &palladium.Params{Has: palladium.HasTemperature | palladium.HasMaxTokens, MaxTokens: 256 << b.r.IntN(4)}},
		list: list, size: min(size, len(list)), order: seed}
	parts := b.c.Book.Form(seed, b.r.IntN(3) == 0)
	switch b.r.IntN(3) {
	case 0:
		v.head, v.tail = "Question: ", "\nAnswer:"
	case 1:
		v.head, v.tail = parts[0], parts[len(parts)-1]
	}
	return v
}

// evaluators adds people who run one public benchmark, each for themselves; on release day, all within its 24 hours.
func (b *caster) evaluators(class Class, name string) {
	accounts, wires := b.members(class, name, b.size(5, 25))
	list := b.c.Benches[b.r.IntN(len(b.c.Benches))]
	for i, acc := range accounts {
		size := b.size(60, 350)
		if b.r.IntN(80) == 0 {
			size = len(list)
		}
		v := b.examiner(size)
		v.list, v.size = list, min(size, len(list))
		k := &arrival.Burst{Start: b.someday(), Gap: arrival.Second + b.r.Int64N(12*arrival.Second), Left: v.size}
		if class == ClassRelease && b.release > 0 {
			k.Start = b.release + arrival.Hour + b.r.Int64N(22*arrival.Hour)
			wires[i].adopt = b.release
		}
		b.examine(acc, wires[i], v, k)
	}
}

// cohort adds a class of students.
func (b *caster) cohort(name string) {
	accounts, wires := b.members(ClassCohort, name, b.size(20, 60))
	course, domain, vouched := b.r.Uint64(), b.c.Book.Word(b.r.Uint64())+".edu.example", b.r.IntN(2) == 0
	b.signUpTogether(accounts, b.s.Start.Add(-time.Duration(b.r.IntN(20*24))*time.Hour), 4*24*time.Hour)
	for i, acc := range accounts {
		a := &b.accounts[acc]
		a.Plan, a.EmailDomain, a.Payment, a.BIN = "education", domain, "", ""
		if vouched {
			a.Relation = palladium.RelationCohort
		}
		wires[i].key, wires[i].isp, wires[i].place = wires[0].key, wires[0].isp, placeSite
		k := b.personClock(2)
		k.Zone = int64(course%24) * arrival.Hour
		b.solo(acc, wires[i], &student{person: *b.person(), course: course, tasks: 12}, k)
	}
}

// site adds people behind one address.
func (b *caster) site(name string) {
	accounts, wires := b.members(ClassNAT, name, b.size(10, 80))
	for i, acc := range accounts {
		wires[i].key, wires[i].isp, wires[i].place = wires[0].key, wires[0].isp, placeSite
		if wires[0].key%3 == 0 {
			wires[i].place = placeVPN
		}
		b.personOn(acc, wires[i], 1)
	}
}

// reseller adds an honest relay: customers of all kinds, dealt out least recently used, with failover.
func (b *caster) reseller(name string) {
	accounts, wires := b.members(ClassReseller, name, b.size(10, 60))
	b.oneOwner(accounts, wires, palladium.RelationReseller)
	if b.r.IntN(2) == 0 {
		b.signUpTogether(accounts, b.s.Start.Add(-time.Duration(b.r.IntN(90*24))*time.Hour), 10*24*time.Hour)
	}
	shared := b.r.IntN(2) == 0
	for _, w := range wires {
		w.client, w.device, w.place = wires[0].client, "", placeCloud
		if shared {
			w.key, w.isp = wires[0].key, wires[0].isp
		}
	}
	perDay := float64(len(accounts)) * b.s.Style.Rate * (4 + 12*b.r.Float64()) * (1 - b.s.Style.MultiTurn)
	f := b.fleetOf(accounts, wires, b.crowdOf(8*len(accounts)), &arrival.Flat{Habits: b.w.habits, PerDay: perDay, Rhythm: 0.5 * b.r.Float64(), Zone: b.r.Int64N(arrival.Day)})
	f.failover, f.multi = 0.02*b.r.Float64(), b.s.Style.MultiTurn
	f.random = b.r.IntN(4) == 0
	b.launch(f)
}

// agency adds seats bought in bulk: one card, one day, different people.
func (b *caster) agency(name string) {
	accounts, wires := b.members(ClassAgency, name, b.size(10, 40))
	b.oneOwner(accounts, wires, palladium.RelationTenant)
	b.signUpTogether(accounts, b.s.Start.Add(-time.Duration(b.r.IntN(120*24))*time.Hour), 8*time.Hour)
	for i, acc := range accounts {
		b.personOn(acc, wires[i], 2)
	}
}

// cover story of a campaign's accounts.
type disguise struct {
	spec     *CampaignSpec
	key      uint64
	bin      string
	domain   string
	shape    string
	company  string
	client   int
	created  time.Time
	payments []string
	release  int64
}

func (b *caster) campaignIdentity(spec *CampaignSpec, start int64) *disguise {
	d := &disguise{spec: spec, key: b.r.Uint64(), bin: drawBIN(b.r), domain: b.c.Book.Word(b.r.Uint64()) + ".example",
		shape: "aaaaaa0000", company: b.c.Book.Word(b.r.Uint64()) + " Ltd", release: b.release}
	d.client = len(b.w.tuples) - 1 - b.r.IntN(60)
	if spec.Client == ClientPopular {
		d.client = 0
	}
	at := time.UnixMilli(start).UTC()
	d.created = at.Add(-4 * 24 * time.Hour)
	if spec.Age == AgeAged {
		d.created = at.Add(-64 * 24 * time.Hour)
	}
	for range 1 + spec.Accounts/25 {
		d.payments = append(d.payments, "pay-"+hex(b.r.Uint64(), 14))
	}
	return d
}

// disguise makes account i of the campaign what the campaign's specification says.
func (d *disguise) disguise(b *caster, acc int32, w *wire, i int) {
	if d.spec.Negative() { // its records are those of honest accounts
		return
	}
	a := &b.accounts[acc]
	switch d.spec.Network {
	case NetworkShared:
		w.place, w.key, w.isp = placeCloud, prose.Mix(d.key, uint64(i%(1+d.spec.Accounts/40))), uint16(d.key%40)
	case NetworkDatacenter:
		w.place = placeCloud
	case NetworkSticky:
		w.place, w.lease = placeHome, 3*arrival.Day
	case NetworkRotating:
		w.place = placeRotating
	}
	if d.spec.Network != NetworkSticky || d.spec.Identity != IdentityClean {
		w.device = ""
	}
	if d.spec.Client != ClientSpoofed {
		w.client = uint16(d.client)
	}
	switch d.spec.Identity {
	case IdentityShared:
		a.Payment, a.BIN = d.payments[i%len(d.payments)], d.bin
	case IdentityVirtual:
		a.Payment, a.BIN = "pay-"+hex(b.r.Uint64(), 14), d.bin
	}
	if a.Payment != "" && a.Plan == "free" {
		a.Plan = "pro"
	}
	if d.spec.Email == EmailBatch {
		a.EmailDomain, a.EmailShape = d.domain, d.shape
	}
	a.Device = w.device
	a.SignupIP, _ = w.address(b.r, d.created.UnixMilli())
	if d.spec.Age != AgeSpread && b.s.Style.Created {
		a.Created = d.created.Add(time.Duration(b.r.Float64() * 3.9 * 24 * float64(time.Hour)))
	}
	switch d.spec.Organization {
	case OrganizationSame:
		a.Organization = d.company
	case OrganizationStartup:
		a.Organization, a.Plan = b.c.Book.Word(b.r.Uint64())+" AI", "startup"
	}
	w.model, w.adopt = 0, 0
	if d.spec.Pivot && d.release > 0 {
		w.adopt = d.release + b.r.Int64N(arrival.Day)
		if b.r.IntN(5) < 2 {
			w.adopt += b.r.Int64N(4 * arrival.Day)
		}
	}
}
