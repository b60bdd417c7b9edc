package report

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// nb is a no-break space: it keeps a figure and its unit on one line. Text output writes it as a plain space.
const nb = "\u00a0"

// count writes n in full with a comma between thousands: 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// short writes n in full below a million and to a tenth of a million, or a hundredth of a billion, above: 31.0 M.
func short(n int64) string {
	v := float64(n)
	switch {
	case v >= 999.95e6:
		return strconv.FormatFloat(v/1e9, 'f', 2, 64) + nb + "B"
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + nb + "M"
	}
	return count(n)
}

// percent writes a share in [0,1]. A share that is not all never rounds to all, nor one that is not none to none.
func percent(x float64) string {
	switch {
	case math.IsNaN(x):
		return "unknown"
	case x <= 0:
		return "0" + nb + "%"
	case x < 0.001:
		return "<0.1" + nb + "%"
	case x >= 1:
		return "100" + nb + "%"
	case x >= 0.9995:
		return ">99.9" + nb + "%"
	case x < 0.0995, x >= 0.9895:
		return strconv.FormatFloat(100*x, 'f', 1, 64) + nb + "%"
	}
	return strconv.FormatFloat(100*x, 'f', 0, 64) + nb + "%"
}

// oneIn writes a probability as a frequency to two significant figures: 3.3e-7 is "1 in 3 million".
func oneIn(p float64) string {
	switch {
	case math.IsNaN(p):
		return "unknown"
	case p <= 0:
		return "less than 1 in " + power(math.MaxFloat64)
	case p >= 0.95:
		return "nearly every time"
	case p > 0.15:
		return strconv.Itoa(int(math.Round(10*p))) + " in 10"
	}
	return "1 in " + large(1/p)
}

// large writes v >= 1 to two significant figures, in words from a million up, as a power of ten past a trillion.
func large(v float64) string {
	v = significant(v, 2)
	switch {
	case v < 1e6:
		if v < 10 {
			return strconv.FormatFloat(v, 'g', 2, 64)
		}
		return count(int64(v))
	case v >= 1e15:
		return power(v)
	}
	unit, word := 1e6, "million"
	if v >= 1e12 {
		unit, word = 1e12, "trillion"
	} else if v >= 1e9 {
		unit, word = 1e9, "billion"
	}
	return strconv.FormatFloat(significant(v/unit, 2), 'f', -1, 64) + nb + word
}

// power writes v with a power of ten: 2.5 × 10¹². From 0.0001 to a million it writes the figure itself.
func power(v float64) string {
	switch {
	case math.IsNaN(v):
		return "unknown"
	case math.IsInf(v, 1):
		return "beyond" + nb + power(math.MaxFloat64)
	case v == 0:
		return "0"
	case v >= 999.5 && v < 1e6:
		return count(int64(significant(v, 3)))
	case v >= 1e-4 && v < 999.5:
		return strconv.FormatFloat(significant(v, 3), 'f', -1, 64)
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', 1, 64), "e")
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	mantissa = strings.TrimSuffix(mantissa, ".0")
	if mantissa == "1" {
		return "10" + superscript(n)
	}
	return mantissa + nb + "×" + nb + "10" + superscript(n)
}

func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
		"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}

// significant rounds v to n significant figures.
func significant(v float64, n int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', n-1, 64), 64)
	if err != nil {
		return v
	}
	return r
}

// measure writes a feature's value, which may be negative, as power does.
func measure(v float64) string {
	if v < 0 {
		return "-" + power(-v)
	}
	return power(v)
}

// ratio turns a weight in nats (the logarithm of a likelihood ratio) into that ratio: 6.9 is "990×".
func ratio(nats float64) string {
	v := math.Exp(nats)
	switch {
	case math.IsNaN(nats):
		return "unknown"
	case v < 1:
		return strconv.FormatFloat(significant(v, 1), 'g', -1, 64) + "×"
	}
	return large(v) + "×"
}

// plural writes n and the noun, with an s unless n is 1.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1" + nb + noun
	}
	return count(n) + nb + noun + "s"
}

// span writes a duration in its largest fitting unit.
func span(d time.Duration) string {
	switch {
	case d >= 36*time.Hour || d == 24*time.Hour:
		return plural(int64(math.Round(d.Hours()/24)), "day")
	case d >= 90*time.Minute || d == time.Hour:
		return plural(int64(math.Round(d.Hours())), "hour")
	case d >= 90*time.Second:
		return plural(int64(math.Round(d.Minutes())), "minute")
	}
	return plural(max(0, int64(math.Round(d.Seconds()))), "second")
}

// dates writes times in UTC, leaving out the year where the whole report lies within it.
type dates struct {
	year int // the year left out; 0 writes all years
}

func datesOf(from, to time.Time) dates {
	if from.UTC().Year() == to.UTC().Year() {
		return dates{year: to.UTC().Year()}
	}
	return dates{}
}

func (d dates) day(t time.Time) string {
	t = t.UTC()
	if t.IsZero() {
		return "an unknown day"
	}
	if t.Year() == d.year {
		return t.Format("2" + nb + "January")
	}
	return t.Format("2" + nb + "January" + nb + "2006")
}

func (d dates) minute(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return d.day(t) + nb + t.UTC().Format("15:04")
}
