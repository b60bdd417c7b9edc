package dialect

import (
	"strings"
	"time"
)

// ParseTime reads an RFC 3339 time and returns it in UTC, without allocating for the usual spellings: upper-case T,
// at most nine digits of a second, Z or a numeric offset. What the quick path does not know goes to time.Parse.
func ParseTime(s string) (time.Time, bool) {
	if t, ok := quickTime(s); ok {
		return t, true
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), true
	}
	return rareTime(s)
}

// rareTime reads what RFC 3339 also admits, but time.Parse does not: lower-case letters, and the 60th second that ends
// a day in UTC, which is taken for the first of the next day.
func rareTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, false
	}
	s = strings.ToUpper(s)
	leap := s[17:19] == "60"
	if leap {
		s = s[:17] + "59" + s[19:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC()
	if leap && (t.Hour() != 23 || t.Minute() != 59) {
		return time.Time{}, false
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t, true
}

func quickTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	year, a := digits2(s, 0)
	low, b := digits2(s, 2)
	month, c := digits2(s, 5)
	day, d := digits2(s, 8)
	hour, e := digits2(s, 11)
	minute, f := digits2(s, 14)
	sec, g := digits2(s, 17)
	year = year*100 + low
	if !(a && b && c && d && e && f && g) || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || sec > 59 {
		return time.Time{}, false
	}
	nano, i := 0, 19
	if s[i] == '.' {
		scale := 100_000_000
		for i++; i < len(s) && s[i]-'0' <= 9; i++ {
			nano += int(s[i]-'0') * scale // past nine digits the scale is zero
			scale /= 10
		}
		if i == 20 {
			return time.Time{}, false
		}
	}
	offset, ok := zone(s[i:])
	if !ok {
		return time.Time{}, false
	}
	unix := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+minute*60+sec-offset)
	return time.Unix(unix, int64(nano)).UTC(), true
}

// zone reads Z or ±hh:mm and returns the offset east of UTC in seconds.
func zone(s string) (int, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' {
		return 0, false
	}
	h, a := digits2(s, 1)
	m, b := digits2(s, 4)
	if !a || !b || h > 23 || m > 59 {
		return 0, false
	}
	switch s[0] {
	case '+':
		return h*3600 + m*60, true
	case '-':
		return -(h*3600 + m*60), true
	}
	return 0, false
}

func digits2(s string, at int) (int, bool) {
	hi, lo := s[at]-'0', s[at+1]-'0'
	return int(hi)*10 + int(lo), hi <= 9 && lo <= 9
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts days from 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March so
// that the leap day comes last.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := int64(year) / 400
	if year < 0 {
		era = (int64(year) - 399) / 400
	}
	yoe := int64(year) - era*400
	doy := int64((153*(month-3)+2)/5 + day - 1)
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}
