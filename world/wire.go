package world

import (
	"github.com/palladium-guard/palladium/internal/arrival"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/internal/prose"
)

// place is where an account's requests come from. All addresses are from ranges that no one routes.
type place uint8

const (
	placeHome       place = iota // an address of an internet provider, kept for the lease
	placeMobile                  // carrier-grade NAT: an address for each sitting, shared by thousands
	placeSite                    // one address of a campus or a company
	placeCloud                   // a few fixed addresses of a cloud
	placeRunner                  // a new cloud address for each hour
	placeVPN                     // a shared exit of a commercial VPN, another each day
	placeRotating                // a new home address for each request
	placeEverywhere              // several people: home, mobile and VPN in turn
)

// wire is the technical side of an account: network, client, model and parameters.
type wire struct {
	place  place
	isp    uint16
	client uint16
	model  uint8
	key    uint64 // what the addresses follow from
	lease  int64
	adopt  int64 // when it moves to the new model
	params *palladium.Params
	cred   string
	device string
	bare   bool // client traits are stripped
}

// provider of a home or cloud network by heavy-tailed share.
func drawISP(r *rand.Rand) uint16 { return uint16(math.Floor(40 * math.Pow(r.Float64(), 2.2))) }

func newWire(r *rand.Rand, s *Style, tuples []clientTuple) wire {
	w := wire{key: r.Uint64(), isp: drawISP(r), client: uint16(drawTuple(r, len(tuples))), model: drawModel(r)}
	w.lease = arrival.Day + r.Int64N(30*arrival.Day)
	switch u := r.Float64(); {
	case u < s.NAT:
		w.place = placeMobile
	case u < s.NAT+0.06:
		w.place = placeVPN
	default:
		w.place = placeHome
	}
	if s.Device && r.Float64() < 0.4 {
		w.device = "dev-" + hex(r.Uint64(), 12)
	}
	return w
}

// address returns the client address and its network number at time t.
func (w *wire) address(r *rand.Rand, t int64) (string, uint32) {
	kind, key := w.place, w.key
	if kind == placeEverywhere {
		key = prose.Mix(w.key, r.Uint64N(9))
		kind = []place{placeHome, placeHome, placeMobile, placeVPN, placeCloud}[key%5]
	}
	var b [4]byte
	asn := uint32(64600) + uint32(w.isp)
	switch kind {
	case placeHome:
		h := prose.Mix(key, uint64((t+int64(key%uint64(w.lease)))/w.lease))
		return homeAddress(h, w.isp), asn
	case placeRotating:
		h := r.Uint64()
		isp := uint16(h >> 40 % 40)
		return homeAddress(h, isp), 64600 + uint32(isp)
	case placeMobile:
		h := prose.Mix(key, uint64(t/(3*arrival.Hour)))
		b = [4]byte{100, 64 + byte(w.isp%8)*8 + byte(h%2), byte(h >> 8), byte(h >> 16)}
	case placeSite:
		b, asn = [4]byte{198, 18 + byte(key>>24&1), byte(key >> 8), byte(key)}, 64700+uint32(key>>8%250)
	case placeCloud:
		h := prose.Mix(key, r.Uint64N(1+key%3))
		b, asn = [4]byte{10, byte(w.isp)*4 + byte(h>>16&3), byte(h >> 8), byte(h)}, 65000+uint32(w.isp)
	case placeRunner:
		h := prose.Mix(key, uint64(t/arrival.Hour)*4+r.Uint64N(4))
		b, asn = [4]byte{10, byte(w.isp)*4 + byte(h>>16&3), byte(h >> 8), byte(h)}, 65000+uint32(w.isp)
	case placeVPN:
		h := prose.Mix(key, uint64(t/arrival.Day))
		vpn := byte(key % 12)
		b, asn = [4]byte{172, 16 + vpn, byte(h % 20), byte(h>>8) % 32}, 65100+uint32(vpn)
	}
	return netip.AddrFrom4(b).String(), asn
}

// homeAddress is of class E, or in one case of six IPv6 from the documentation prefix.
func homeAddress(h uint64, isp uint16) string {
	if h>>61 == 0 {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(isp), byte(h >> 8), byte(h >> 16), byte(h >> 24)}
		b[15] = byte(h>>32) | 1
		b[14] = byte(h >> 40)
		return netip.AddrFrom16(b).String()
	}
	return netip.AddrFrom4([4]byte{240 + byte(isp%15), byte(isp)&0xf0 + byte(h&15), byte(h >> 8), byte(h >> 16)}).String()
}

// clientTuple is what a library or browser shows of itself.
type clientTuple struct{ agent, tls, headers string }

// clientTuples are ordered by popularity. The first names are of public client libraries and browsers.
func clientTuples(book *prose.Book) []clientTuple {
	agents := []string{"OpenAI/Python %", "Anthropic/Python %", "OpenAI/JS %", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/%",
		"python-requests/%", "Anthropic/JS %", "litellm/%", "axios/%", "Mozilla/5.0 (Macintosh) Safari/%", "aiohttp/%", "node-fetch/%",
		"Go-http-client/%", "langchain/%", "okhttp/%", "curl/%", "Mozilla/5.0 (X11; Linux) Firefox/%", "reqwest/%", "httpx/%"}
	var out []clientTuple
	for version := range 8 {
		for i, a := range agents {
			h := prose.Mix(uint64(i), 77)
			library := prose.Mix(h, uint64(version/3))
			out = append(out, clientTuple{
				agent:   a[:len(a)-1] + strconv.Itoa(1+i%3) + "." + strconv.Itoa(90-3*version) + ".0",
				tls:     "t13d" + strconv.Itoa(14+i%6) + "1" + strconv.Itoa(i%8) + "h2_" + hex(h, 12) + "_" + hex(library, 12),
				headers: "ho-" + hex(prose.Mix(h, uint64(version/4)), 10),
			})
		}
	}
	for i := range uint64(120) { // in-house clients
		h := prose.Mix(i, 78)
		out = append(out, clientTuple{book.Word(h) + "/" + strconv.Itoa(int(h%9)) + ".1", "t13d1" + strconv.Itoa(int(h%9)) + "10h1_" + hex(h, 12) + "_" + hex(h>>7, 12), "ho-" + hex(h>>9, 10)})
	}
	return out
}

// drawTuple follows a heavy-tailed law of popularity.
func drawTuple(r *rand.Rand, n int) int {
	return min(n-1, int(math.Exp(r.Float64()*math.Log(float64(n)+1)))-1)
}

func drawModel(r *rand.Rand) uint8 {
	switch u := r.Float64(); {
	case u < 0.45:
		return 0
	case u < 0.75:
		return 1
	case u < 0.92:
		return 2
	}
	return 3
}

// newModel is the model that comes out on the day of release.
const newModel = "atlas-5"

func modelName(i uint8) string {
	return []string{"atlas-4", "atlas-4-mini", "atlas-4-reasoner", "atlas-3.5"}[i&3]
}

// drawParams is what a client sends: mostly defaults and round values.
func drawParams(r *rand.Rand) *palladium.Params {
	p := &palladium.Params{}
	if r.IntN(4) > 0 {
		p.Has |= palladium.HasTemperature
		p.Temperature = []float64{0, 0, 0.2, 0.3, 0.5, 0.7, 0.7, 0.7, 1, 1}[r.IntN(10)]
		if r.IntN(12) == 0 {
			p.Temperature = float64(r.IntN(100)) / 100
		}
	}
	if r.IntN(3) > 0 {
		p.Has |= palladium.HasMaxTokens
		p.MaxTokens = []int{256, 512, 800, 1000, 1024, 1500, 2000, 2048, 4000, 4096, 8192}[r.IntN(11)]
		if r.IntN(10) == 0 {
			p.MaxTokens = 50 * (1 + r.IntN(120))
		}
	}
	if r.IntN(5) == 0 {
		p.Has |= palladium.HasTopP
		p.TopP = []float64{0.9, 0.95, 1, 1}[r.IntN(4)]
	}
	if r.IntN(3) == 0 {
		p.Has |= palladium.HasStream
		p.Stream = true
	}
	if r.IntN(40) == 0 {
		p.Has |= palladium.HasSeed
		p.Seed = int64(r.IntN(100))
	}
	if r.IntN(25) == 0 {
		p.Has |= palladium.HasReasoning
		p.Reasoning = []string{"low", "medium", "high"}[r.IntN(3)]
	}
	if r.IntN(40) == 0 {
		p.Has |= palladium.HasLogprobs | palladium.HasTopLogprobs
		p.Logprobs, p.TopLogprobs = true, 1+r.IntN(5)
	}
	return p
}

func hex(v uint64, n int) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range n {
		b[i] = digits[v>>(4*i)&15]
	}
	return string(b[:n])
}

// newAccount makes the record of an honest account. Issuer ranges, mail domains and prefixes are shared by thousands.
func newAccount(r *rand.Rand, s *Scenario, w *wire) palladium.Account {
	a := palladium.Account{ID: "acct-" + hex(r.Uint64(), 12)}
	age := time.Duration(r.ExpFloat64() * 240 * float64(24*time.Hour))
	a.Created = s.Start.Add(-min(age, 2*365*24*time.Hour))
	if r.IntN(8) == 0 {
		a.Created = s.Start.Add(time.Duration(r.Float64() * s.Days * 0.7 * float64(24*time.Hour)))
	}
	a.Plan = []string{"free", "free", "pro", "pro", "pro", "team", "trial", "enterprise", "education", "startup"}[r.IntN(10)]
	a.EmailDomain, a.EmailShape = drawEmail(r)
	if r.Float64() < s.Style.Payments && a.Plan != "free" {
		a.Payment = "pay-" + hex(r.Uint64(), 14)
		a.BIN = drawBIN(r)
	}
	a.PhonePrefix = "+" + strconv.Itoa(1+r.IntN(90)) + " " + strconv.Itoa(100+int(200*math.Pow(r.Float64(), 3)))
	a.Device = w.device
	a.SignupIP, _ = w.address(r, a.Created.UnixMilli())
	a.Verified = []string{"email"}
	if r.IntN(2) == 0 {
		a.Verified = append(a.Verified, "phone")
	}
	if a.Payment != "" {
		a.Verified = append(a.Verified, "card")
	}
	return a
}

func drawBIN(r *rand.Rand) string {
	return strconv.Itoa(400000 + 137*int(250*math.Pow(r.Float64(), 2)))
}

// drawEmail draws from public mail hosts, seldom an own domain, and from the usual patterns of local parts.
func drawEmail(r *rand.Rand) (domain, shape string) {
	switch u := r.IntN(20); {
	case u < 11:
		domain = "mail.example"
	case u < 14:
		domain = "inbox.example"
	case u < 16:
		domain = "post.example"
	default:
		domain = hex(r.Uint64(), 7) + ".example"
	}
	letters := "aaaaaaaaaaaa"
	switch r.IntN(5) {
	case 0:
		shape = letters[:3+r.IntN(8)]
	case 1:
		shape = letters[:3+r.IntN(5)] + "." + letters[:4+r.IntN(7)]
	case 2:
		shape = letters[:4+r.IntN(7)] + "0000"[:1+r.IntN(4)]
	case 3:
		shape = letters[:1] + letters[:4+r.IntN(6)]
	default:
		shape = letters[:3+r.IntN(5)] + "." + letters[:4+r.IntN(7)] + "00"
	}
	return domain, shape
}
