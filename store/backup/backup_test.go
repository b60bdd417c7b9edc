package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func packed(t testing.TB, lines ...string) []byte {
	t.Helper()
	zip, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return zip.EncodeAll([]byte(strings.Join(lines, "\n")+"\n"), nil)
}

// ended gives lines with the last one that fits them.
func ended(rows string, lines ...string) []string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return append(lines, `{"end":true,"rows":`+rows+`,"sha256":"`+hex.EncodeToString(sum[:])+`"}`)
}

const (
	head  = `{"format":"palladium backup","version":1,"store":"s","schema":1,"from":"sqlite","made":"2026-05-03T09:00:00Z","by":"v1"}`
	table = `{"table":"a","columns":[{"name":"id","cell":"text"},{"name":"n","cell":"whole"},{"name":"r","cell":"real"},{"name":"b","cell":"bytes"}]}`
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		err  error
	}{
		"whole":                 {packed(t, ended(`{"a":2}`, head, table, `["x",1,0.5,"AAE="]`, `["y",null,null,null]`)...), nil},
		"no rows":               {packed(t, ended(`{"a":0}`, head, table)...), nil},
		"empty":                 {nil, ErrDamaged},
		"text":                  {[]byte("id,name\n1,x\n"), ErrForeign},
		"SQLite":                {[]byte("SQLite format 3\x00 and so on"), ErrForeign},
		"other zstd":            {packed(t, "hello"), ErrForeign},
		"other JSON":            {packed(t, `{"format":"another"}`), ErrForeign},
		"other store":           {packed(t, ended(`{}`, strings.Replace(head, `"s"`, `"t"`, 1))...), ErrForeign},
		"newer form":            {packed(t, strings.Replace(head, `"version":1`, `"version":2`, 1)), ErrNewer},
		"newer schema":          {packed(t, strings.Replace(head, `"schema":1`, `"schema":9`, 1)), ErrNewer},
		"schema 0":              {packed(t, strings.Replace(head, `"schema":1`, `"schema":0`, 1)), ErrDamaged},
		"no end":                {packed(t, head, table, `["x",1,0.5,"AAE="]`), ErrDamaged},
		"a row twice":           {packed(t, ended(`{"a":1}`, head, table, `["x",1,0.5,""]`, `["x",1,0.5,""]`)...), ErrDamaged},
		"a table twice":         {packed(t, ended(`{"a":0}`, head, table, table)...), ErrDamaged},
		"a row without a table": {packed(t, ended(`{}`, head, `["x"]`)...), ErrDamaged},
		"wrong sum":             {packed(t, head, table, `{"end":true,"rows":{"a":0},"sha256":"00"}`), ErrDamaged},
		"more after the end":    {packed(t, append(ended(`{"a":0}`, head, table), "")...), ErrDamaged},
		"a word for a number":   {packed(t, ended(`{"a":1}`, head, table, `["x","1",0.5,""]`)...), ErrDamaged},
		"a fraction":            {packed(t, ended(`{"a":1}`, head, table, `["x",1.5,0.5,""]`)...), ErrDamaged},
		"beyond 64 bits":        {packed(t, ended(`{"a":1}`, head, table, `["x",9223372036854775808,0.5,""]`)...), ErrDamaged},
		"infinite":              {packed(t, ended(`{"a":1}`, head, table, `["x",1,1e999,""]`)...), ErrDamaged},
		"NUL":                   {packed(t, ended(`{"a":1}`, head, table, `["x\u0000",1,0.5,""]`)...), ErrDamaged},
		"no base64":             {packed(t, ended(`{"a":1}`, head, table, `["x",1,0.5,"!"]`)...), ErrDamaged},
		"too few values":        {packed(t, ended(`{"a":1}`, head, table, `["x",1,0.5]`)...), ErrDamaged},
		"name with a quote":     {packed(t, ended(`{}`, head, `{"table":"a\"; --","columns":[{"name":"id","cell":"text"}]}`)...), ErrDamaged},
		"unknown kind":          {packed(t, ended(`{}`, head, `{"table":"a","columns":[{"name":"id","cell":"date"}]}`)...), ErrDamaged},
	} {
		sum, err := Check(t.Context(), bytes.NewReader(c.data), "s", 1)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, wanted %v", name, err, c.err)
		}
		if err == nil && (sum.Tables != 1 || sum.From != "sqlite") {
			t.Errorf("%s: %+v", name, sum)
		}
	}
}

// A disk that fails is not a damaged file.
func TestReadFails(t *testing.T) {
	gone := errors.New("the disk is gone")
	data := packed(t, ended(`{"a":0}`, head, table)...)
	if _, err := Check(t.Context(), &failing{bytes.NewReader(data[:len(data)/2]), gone}, "s", 1); !errors.Is(err, gone) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

type failing struct {
	in  *bytes.Reader
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	if f.in.Len() == 0 {
		return 0, f.err
	}
	return f.in.Read(b)
}

// Whatever a file holds, Check ends with an error or with what the file counts.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(head+"\n"+table+"\n"+`["x",1,0.5,"AAE="]`+"\n"+`{"end":true,"rows":{"a":1},"sha256":""}`+"\n"), true)
	f.Add([]byte(head+"\n"), true)
	f.Add(packed(f, ended(`{"a":1}`, head, table, `["x",1,0.5,"AAE="]`)...), false)
	f.Add([]byte("\x28\xb5\x2f\xfd"), false)
	f.Fuzz(func(t *testing.T, data []byte, text bool) {
		if text { // packed and summed, so that what is within is reached
			lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
			if last := lines[len(lines)-1]; strings.HasPrefix(last, `{"end"`) {
				var c closing
				if json.Unmarshal([]byte(last), &c) == nil {
					rows, _ := json.Marshal(c.Rows)
					lines = ended(string(rows), lines[:len(lines)-1]...)
				}
			}
			data = packed(t, lines...)
		}
		sum, err := Check(t.Context(), bytes.NewReader(data), "s", 1)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
				t.Error(err)
			}
			return
		}
		if sum.Rows < 0 || sum.Schema != 1 || len(sum.SHA256) != 64 {
			t.Errorf("%+v", sum)
		}
	})
}
