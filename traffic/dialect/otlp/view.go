package otlp

import (
	"strconv"

	"github.com/valyala/fastjson"

	"github.com/palladium-guard/palladium"
	"github.com/palladium-guard/palladium/traffic/dialect"
)

// maxKeys is how many keys of one nested or inherited list are looked at.
const maxKeys = 256

// view is the attributes of one operation.
type view struct {
	d     *Decoder
	attrs map[string]*fastjson.Value // as OTLP's AnyValue
	above []*fastjson.Value          // attribute lists of the ancestors, then of the resource
}

func (d *Decoder) view(attributes *fastjson.Value) *view {
	d.used = 0
	d.arena.Reset()
	w := &view{d: d, attrs: map[string]*fastjson.Value{}}
	w.add(attributes)
	return w
}

func (w *view) add(attributes *fastjson.Value) {
	for _, a := range attributes.GetArray() {
		if key := dialect.Text(a.Get("key")); key != "" {
			w.attrs[key] = a.Get("value")
		}
	}
}

// own returns the first of the named attributes that the operation itself has, as plain JSON.
func (w *view) own(names ...string) *fastjson.Value {
	for _, n := range names {
		if v := w.attrs[n]; v != nil {
			return w.d.plain(v)
		}
	}
	return nil
}

// any is like own and goes on to the ancestors and the resource.
func (w *view) any(names []string) *fastjson.Value {
	if v := w.own(names...); v != nil {
		return v
	}
	for _, list := range w.above {
		for _, n := range names {
			for i, a := range list.GetArray() {
				if i == maxKeys {
					break
				}
				if dialect.Text(a.Get("key")) == n {
					return w.d.plain(a.Get("value"))
				}
			}
		}
	}
	return nil
}

// plain turns OTLP's AnyValue into the JSON that it stands for. 64-bit integers stay strings.
func (d *Decoder) plain(v *fastjson.Value) *fastjson.Value {
	for _, kind := range []string{
		"stringValue", "intValue", "doubleValue", "boolValue", "bytesValue",
		"string_value", "int_value", "double_value", "bool_value", "bytes_value",
	} {
		if x := v.Get(kind); x != nil {
			return x
		}
	}
	if list := get(v, "arrayValue", "array_value"); list != nil {
		a := d.arena.NewArray()
		for i, x := range list.GetArray("values") {
			a.SetArrayItem(i, d.orNull(x))
		}
		return a
	}
	if list := get(v, "kvlistValue", "kvlist_value"); list != nil {
		o := d.arena.NewObject()
		for i, kv := range list.GetArray("values") {
			if i == maxKeys {
				break
			}
			o.Set(dialect.Text(kv.Get("key")), d.orNull(kv.Get("value")))
		}
		return o
	}
	return nil
}

func (d *Decoder) orNull(v *fastjson.Value) *fastjson.Value {
	if p := d.plain(v); p != nil {
		return p
	}
	return d.arena.NewNull()
}

// unfold returns the JSON that a string holds, when it holds an array or an object, and v itself otherwise.
func (d *Decoder) unfold(v *fastjson.Value) *fastjson.Value {
	s := dialect.Text(v)
	if s == "" || (s[0] != '[' && s[0] != '{') {
		return v
	}
	if d.used == len(d.inner) {
		d.inner = append(d.inner, new(fastjson.Parser))
	}
	inside, err := d.inner[d.used].Parse(s)
	if err != nil {
		return v
	}
	d.used++
	return inside
}

// scalar returns a string, or a number in digits.
func scalar(v *fastjson.Value) string {
	if n, ok := dialect.Whole(v); ok && v.Type() == fastjson.TypeNumber {
		return strconv.FormatInt(n, 10)
	}
	return dialect.Text(v)
}

// fill sets what single attributes say.
func (w *view) fill(e *palladium.Exchange) {
	e.Credential = scalar(w.any(sessionID()))
	e.API = api(dialect.Text(w.own(provider()...)), dialect.Text(w.own(operationName)), dialect.Text(w.own(openAIType)))
	e.Model = dialect.Text(w.own(requestModel()...))
	c := &e.Client
	c.IP = dialect.Text(w.any(clientAddress()))
	c.UserAgent = dialect.Text(w.any(userAgent()))
	c.TLS = dialect.Text(w.any(clientTLS()))
	c.Device = dialect.Text(w.any(clientDevice()))
	c.Country = dialect.Text(w.any(clientCountry()))
	if n, ok := dialect.Whole(w.any(clientASN())); ok && n == int64(uint32(n)) {
		c.ASN = uint32(n)
	}
	w.params(&e.Params)
	u := &e.Usage
	u.Input, u.Output = w.count(inputTokens()), w.count(outputTokens())
	u.Reasoning, u.Cached = w.count(reasoningTokens()), w.count(cachedTokens())
	o := &e.Outcome
	if n, ok := dialect.Whole(w.any(httpStatus())); ok && n >= 100 && n < 600 {
		o.Status = int(n)
	} else if n, ok := dialect.Whole(w.own("error.type")); ok && n >= 100 && n < 600 {
		o.Status = int(n)
	}
	if reasons := dialect.Texts(nil, w.own(finishReasons)); len(reasons) > 0 {
		o.Finish = reasons[0]
	}
	if s, ok := dialect.Number(w.own(firstChunk()...)); ok && s > 0 {
		o.TTFTMS = s * 1000
	}
}

func (w *view) params(p *palladium.Params) {
	if f, ok := dialect.Number(w.own(temperature()...)); ok {
		p.Temperature = f
		p.Has |= palladium.HasTemperature
	}
	if f, ok := dialect.Number(w.own(topP()...)); ok {
		p.TopP = f
		p.Has |= palladium.HasTopP
	}
	if n, ok := dialect.Whole(w.own(maxTokens()...)); ok && n == int64(int32(n)) {
		p.MaxTokens = int(n)
		p.Has |= palladium.HasMaxTokens
	}
	if n, ok := dialect.Whole(w.own(choices()...)); ok && n == int64(int32(n)) {
		p.N = int(n)
		p.Has |= palladium.HasN
	}
	if n, ok := dialect.Whole(w.own(seed()...)); ok {
		p.Seed = n
		p.Has |= palladium.HasSeed
	}
	if v := w.own(streamed()...); v != nil && (v.Type() == fastjson.TypeTrue || v.Type() == fastjson.TypeFalse) {
		p.Stream = v.GetBool()
		p.Has |= palladium.HasStream
	}
	if s := dialect.Text(w.own(reasoning()...)); s != "" {
		p.Reasoning = s
		p.Has |= palladium.HasReasoning
	}
	if v := w.own(stops()...); v != nil {
		if p.Stop = dialect.Texts(p.Stop[:0], w.d.unfold(v)); len(p.Stop) > 0 {
			p.Has |= palladium.HasStop
		}
	}
}

func (w *view) count(names []string) int64 {
	n, ok := dialect.Whole(w.own(names...))
	if !ok || n < 0 {
		return 0
	}
	return n
}
