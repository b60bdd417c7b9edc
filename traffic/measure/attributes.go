package measure

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"

	"github.com/palladium-guard/palladium"
	"github.com/zeebo/xxh3"
)

// Families of attributes for Hash. Equal strings of different families have unrelated hashes; an account's device or
// sign-up address has that of the same device or address in an exchange.
const (
	FamilyIP           byte = 'i' // any spelling of an address; with a port or not
	FamilyNet          byte = 'n' // the /24 or /48 of an address, given as the address
	FamilyCredential   byte = 'c'
	FamilyTLS          byte = 't'
	FamilyHeaders      byte = 'h'
	FamilyUserAgent    byte = 'u'
	FamilyDevice       byte = 'd'
	FamilyPayment      byte = 'p'
	FamilyBIN          byte = 'b'
	FamilyPhone        byte = 'f'
	FamilyEmailDomain  byte = 'm'
	FamilyEmailShape   byte = 's'
	FamilyOrganization byte = 'o'
	FamilyAPI          byte = 'a'
	FamilyModel        byte = 'l'
)

// Sizes of what is remembered, both of HMACs and of account ids: it grows with what would have been used again.
const (
	fewRemembered  = 1 << 13
	mostRemembered = 1 << 17 // 4 MB each
)

// identity is a remembered HMAC. The 128-bit hash of family and string stands for the string.
type identity struct {
	key      [2]uint64
	mac, net uint64
}

func (i *identity) place() uint64 { return i.key[1] }

// name is a remembered account id. Its keyed hash stands for it.
type name struct {
	hash uint64
	id   string
}

func (n *name) place() uint64 { return n.hash }

// memory holds values where the hash of their key says. A new one takes the place of the one that is there.
type memory[T any] struct {
	slots []T
	lost  int // values whose place was taken since it last grew
}

// forget makes room for one more value, before an old one is lost to it, when that has happened as often as there are
// slots. place returns the hash of a value's key; it is 0 for a free slot.
func forget[T any, P interface {
	*T
	place() uint64
}](m *memory[T], slot *T) (moved bool) {
	if P(slot).place() == 0 || len(m.slots) >= mostRemembered {
		return false
	}
	if m.lost++; m.lost < len(m.slots) {
		return false
	}
	old := m.slots
	m.slots, m.lost = make([]T, 2*len(old)), 0
	for i := range old {
		m.slots[P(&old[i]).place()%uint64(len(m.slots))] = old[i]
	}
	return true
}

// Hash returns the keyed hash of an attribute: the first 64 bits of HMAC-SHA256 over family and value, with values met
// lately remembered. It is zero for the empty string, and for FamilyNet where s is not an address.
func (m *Meter) Hash(family byte, s string) uint64 {
	if s == "" {
		return 0
	}
	if family == FamilyNet {
		return m.identify(FamilyIP, s).net
	}
	return m.identify(family, s).mac
}

func (m *Meter) identify(family byte, s string) *identity {
	k := xxh3.HashString128Seed(s, m.idSeed+uint64(family)*0x9e3779b97f4a7c15)
	id := &m.ids.slots[k.Lo%uint64(len(m.ids.slots))]
	if id.key == [2]uint64{k.Hi, k.Lo} {
		return id
	}
	if forget(&m.ids, id) {
		id = &m.ids.slots[k.Lo%uint64(len(m.ids.slots))]
	}
	*id = identity{key: [2]uint64{k.Hi, k.Lo}}
	if family != FamilyIP {
		id.mac = m.sign(append(append(m.macBuf[:0], family), s...))
		return id
	}
	addr, ok := address(s)
	if !ok {
		id.mac = m.sign(append(append(m.macBuf[:0], FamilyIP), s...))
		return id
	}
	wide := addr.As16()
	id.mac = m.sign(append(append(m.macBuf[:0], FamilyIP), wide[:]...))
	keep := 6 // /48
	if addr.Is4() {
		keep = 15 // the 96 bits before an IPv4 address, and 24 of its own
	}
	id.net = m.sign(append(append(m.macBuf[:0], FamilyNet), wide[:keep]...))
	return id
}

// sign returns the truncated HMAC of b, whose memory it keeps for the next one.
func (m *Meter) sign(b []byte) uint64 {
	m.mac.Reset()
	_, _ = m.mac.Write(b) // a hash never fails
	b = m.mac.Sum(b[:0])
	h := binary.LittleEndian.Uint64(b)
	clear(b)
	m.macBuf = b[:0]
	return nonzero(h)
}

// address reads an IP address with or without a port or a zone; IPv4 in IPv6 becomes IPv4.
func address(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		port, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = port.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// connection fills what the connection showed.
func (m *Meter) connection(c *palladium.Client, o *palladium.Observation) {
	o.ASN = c.ASN
	if c.IP != "" {
		id := m.identify(FamilyIP, c.IP)
		o.IP, o.Net = id.mac, id.net
	}
	o.TLS = m.Hash(FamilyTLS, c.TLS)
	o.Headers = m.Hash(FamilyHeaders, c.Headers)
	o.UserAgent = m.Hash(FamilyUserAgent, c.UserAgent)
	o.Device = m.Hash(FamilyDevice, c.Device)
	if o.TLS|o.Headers|o.UserAgent != 0 {
		o.Client = nonzero(mix(mix(o.TLS^m.k[0], o.Headers^m.k[1])^m.k[2], o.UserAgent^m.k[3]))
	}
}

// toolNames hashes the names of the tools in the order sent.
func (m *Meter) toolNames(names []string) uint64 {
	if len(names) == 0 {
		return 0
	}
	h := uint64(len(names))
	for _, s := range names {
		h = mix(h^m.k[4], xxh3.HashStringSeed(s, m.textSeed)^m.k[5])
	}
	return nonzero(h)
}

// shaping is the set of parameters that shape an answer.
const shaping = palladium.HasTemperature | palladium.HasTopP | palladium.HasMaxTokens | palladium.HasN |
	palladium.HasLogprobs | palladium.HasTopLogprobs | palladium.HasLogitBias | palladium.HasReasoning | palladium.HasStop

// parameters fills what the request's parameters show.
func (m *Meter) parameters(p *palladium.Params, o *palladium.Observation) {
	o.ParamHas = p.Has
	o.TopLogprobs = uint8(max(0, min(p.TopLogprobs, 255)))
	o.MaxTokens = clamp32(max(0, p.MaxTokens))
	for _, b := range p.LogitBias[:min(len(p.LogitBias), MaxBiased)] {
		o.Biased = append(o.Biased, b.Token)
	}
	if probing(p) {
		o.Cues |= palladium.CueProbe
	}
	has := p.Has & shaping
	if has == 0 {
		return
	}
	h := uint64(has)
	add := func(bit palladium.ParamSet, v uint64) {
		if has&bit != 0 {
			h = mix(h^m.k[0], v^m.k[1])
		}
	}
	add(palladium.HasTemperature, math.Float64bits(p.Temperature+0)) // -0 becomes 0
	add(palladium.HasTopP, math.Float64bits(p.TopP+0))
	add(palladium.HasMaxTokens, uint64(p.MaxTokens))
	add(palladium.HasN, uint64(p.N))
	if p.Logprobs {
		add(palladium.HasLogprobs, 1)
	}
	add(palladium.HasTopLogprobs, uint64(p.TopLogprobs))
	if has&palladium.HasReasoning != 0 {
		h = mix(h^m.k[2], xxh3.HashStringSeed(p.Reasoning, m.textSeed)^m.k[3])
	}
	if has&palladium.HasStop != 0 {
		for _, s := range p.Stop {
			h = mix(h^m.k[2], xxh3.HashStringSeed(s, m.textSeed)^m.k[4])
		}
	}
	o.Params = nonzero(h)
}

// probing reports whether a request has the form of a logit probe: biases while probabilities are shown, or one or two
// tokens asked with biases or with five or more alternatives (Carlini et al. 2024).
func probing(p *palladium.Params) bool {
	biased := len(p.LogitBias) > 0
	short := p.Has&palladium.HasMaxTokens != 0 && p.MaxTokens <= 2
	shown := p.Logprobs || p.TopLogprobs > 0
	return biased && (shown || short) || p.TopLogprobs >= 5 && short
}

// account returns a copy of an account id, the same one for an id met lately.
func (m *Meter) account(id string) string {
	if id == "" {
		return ""
	}
	h := nonzero(xxh3.HashStringSeed(id, m.idSeed))
	slot := &m.names.slots[h%uint64(len(m.names.slots))]
	if slot.hash != h {
		if forget(&m.names, slot) {
			slot = &m.names.slots[h%uint64(len(m.names.slots))]
		}
		*slot = name{hash: h, id: strings.Clone(id)}
	}
	return slot.id
}
