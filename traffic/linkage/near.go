package linkage

import "github.com/palladium-guard/palladium"

// Observing one exchange touches some sixty cache lines all over the memory, and fetching one takes as long as
// hashing fifty words. What each step needs is therefore read a step ahead, in loops that do nothing else: a core waits
// for all reads of such a loop at once. The sums are of no meaning.

// recollect chooses the shingles that are looked at, and reads the slots of all that o's text and its account, whose
// hash is h, will be looked up by.
func (x *Index) recollect(o *palladium.Observation, h uint64) {
	x.chosen = x.chosen[:0]
	if !x.opt.Without[palladium.Template] {
		x.chosen = choose(x.chosen, o.Shingles)
	}
	sum := x.ids.near(h) + x.prompts.near(o.Prompt) + x.shingles.near(x.chosen...)
	if !x.opt.Without[palladium.Continuity] {
		sum += x.chains.near(o.Chain...) + x.answers.near(o.Quotes...) + x.answers.near(o.Answers...)
	}
	x.touched += sum
}

// near reads the slots of all hashes.
func (r *recall) near(hashes ...uint64) (sum uint32) {
	for _, h := range hashes {
		sum += r.slots[h&r.mask].tag
	}
	return sum
}

// near reads every cache line of p that an exchange changes.
func near(p *palladium.Profile) uint32 {
	sum := p.Exchanges + uint32(p.Created) + uint32(p.Loads[0]) + uint32(p.Hours[0]) + uint32(p.Cues[0]) +
		p.Models[0] + p.Prompts[0] + p.Prompts[palladium.PromptKeep-1] + uint32(p.Distinct[0])
	const line = 64
	for i := 0; i < len(p.Topic); i += line / 2 {
		sum += uint32(p.Topic[i])
	}
	for i := 0; i < len(p.Edges); i += line / 16 {
		sum += p.Edges[i].Token
	}
	return sum
}

// approach reads the token behind the slot of p that seems to hold the token of kind k and hash th.
func (x *Index) approach(p *palladium.Profile, k palladium.Kind, th uint64) uint32 {
	tag := uint16(th >> 48)
	lo, hi := k.Slots()
	for i := lo; i < hi; i++ {
		if e := &p.Edges[i]; e.Tag == tag && e.Token != palladium.NoToken {
			return x.table.tokens[e.Token].Seen
		}
	}
	return 0
}
