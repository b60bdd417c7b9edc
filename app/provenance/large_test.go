//go:build unix

package provenance

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palladium-guard/palladium/weights/compare"
)

// TestLarge is what BenchmarkLarge measures, in a process of its own so that memory is that of the work alone.
func TestLarge(t *testing.T) {
	act, paths, ok := strings.Cut(os.Getenv("PALLADIUM_TEST_LARGE"), " ")
	if !ok {
		t.Skip("run by BenchmarkLarge")
	}
	debug.SetGCPercent(40) // as cmd/palladium
	files := strings.Split(paths, " ")
	switch act {
	case "compare":
		r, err := Compare(t.Context(), Weights{Path: files[0]}, Weights{Path: files[1]}, compare.Options{Seed: 1})
		check(t, err)
		fmt.Println(r.Relation)
	case "inspect":
		r, err := Inspect(t.Context(), files)
		check(t, err)
		fmt.Println(r.Files[0].Verdict)
	}
}

// BenchmarkLarge compares two models of 2.2 GB (the shapes of a Llama of 1.1 billion parameters, BF16) and inspects pickles
// of 400 MB. It needs 5 GB of disk.
func BenchmarkLarge(b *testing.B) {
	dir := b.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	b.Run("compare", func(b *testing.B) {
		writeModel(b, path("a.safetensors"), 1, 0)
		for _, c := range []struct {
			name  string
			seed  uint64
			drift float32
			want  compare.Relation
		}{{"derived", 1, 0.05, compare.Derived}, {"apart", 2, 0, compare.Unrelated}} {
			b.Run(c.name, func(b *testing.B) {
				writeModel(b, path("b.safetensors"), c.seed, c.drift)
				measure(b, "compare "+path("a.safetensors")+" "+path("b.safetensors"), string(c.want), 0)
			})
		}
		check(b, os.Remove(path("a.safetensors")))
		check(b, os.Remove(path("b.safetensors")))
	})
	for name, write := range map[string]func(io.Writer) error{"dictionary": writeDictionary, "numbers": writeNumbers, "torch": writeTorch} {
		b.Run("inspect/"+name, func(b *testing.B) {
			f, err := os.Create(path(name))
			check(b, err)
			w := bufio.NewWriterSize(f, 1<<20)
			check(b, write(w))
			check(b, w.Flush())
			info, err := f.Stat()
			check(b, err)
			check(b, f.Close())
			measure(b, "inspect "+path(name), "safe", info.Size())
		})
	}
}

// measure runs the work b.N times in children: in the program that PALLADIUM names when it is an inspection, else in this one.
// Of memory it tells two figures: all that was resident, and the anonymous part of it, read every millisecond (Linux). The
// rest are clean pages of the program's file, which all its processes share and which the system takes back when it likes.
func measure(b *testing.B, work, want string, size int64) {
	var wall, cpu, peak, anonymous float64
	for b.Loop() {
		child := exec.Command(os.Args[0], "-test.run=^TestLarge$", "-test.count=1")
		child.Env = append(os.Environ(), "PALLADIUM_TEST_LARGE="+work)
		if path, ok := strings.CutPrefix(work, "inspect "); ok && os.Getenv("PALLADIUM") != "" {
			child = exec.Command(os.Getenv("PALLADIUM"), "model", "inspect", "--all", path)
		}
		var printed bytes.Buffer
		child.Stdout, child.Stderr = &printed, &printed
		started := b.Elapsed()
		check(b, child.Start())
		ended := make(chan struct{})
		most := make(chan float64)
		go func() { most <- mostAnonymous(child.Process.Pid, ended) }()
		err := child.Wait()
		close(ended)
		anonymous = max(anonymous, <-most)
		out := printed.Bytes()
		if err != nil || !strings.HasPrefix(string(out), want) {
			b.Fatalf("got %q, error %v, want %s", out, err, want)
		}
		use := child.ProcessState.SysUsage().(*syscall.Rusage)
		wall += (b.Elapsed() - started).Seconds()
		cpu += float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
		peak = max(peak, float64(use.Maxrss)/1024)
	}
	n := float64(b.N)
	b.ReportMetric(wall/n, "s")
	b.ReportMetric(cpu/n, "cpu-s")
	b.ReportMetric(peak, "MiB-resident")
	b.ReportMetric(anonymous, "MiB-anonymous")
	b.ReportMetric(0, "ns/op")
	if size > 0 {
		b.ReportMetric(n*float64(size)/1e6/wall, "MB/s")
		b.ReportMetric(n*float64(size)/1e6/cpu, "MB/cpu-s")
	}
}

// mostAnonymous returns the most anonymous memory of a process until ended is closed, in MiB; 0 where the system does not say.
func mostAnonymous(pid int, ended <-chan struct{}) (most float64) {
	for {
		select {
		case <-ended:
			return most
		case <-time.After(time.Millisecond):
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, line, ok := bytes.Cut(status, []byte("RssAnon:")); ok {
			var kib float64
			if _, err := fmt.Sscan(string(line), &kib); err == nil {
				most = max(most, kib/1024)
			}
		}
	}
}

// writeModel writes normal weights; drift adds that much of others to them.
func writeModel(b *testing.B, path string, seed uint64, drift float32) {
	b.Helper()
	const hidden, wide, layers, words, keys = 2048, 5632, 22, 32_000, 256
	type tensor struct {
		Dtype   string   `json:"dtype"`
		Shape   [2]int   `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]tensor{}
	at := int64(0)
	add := func(name string, rows, cols int) {
		n := int64(2 * rows * cols)
		header[name] = tensor{"BF16", [2]int{rows, cols}, [2]int64{at, at + n}}
		at += n
	}
	add("model.embed_tokens.weight", words, hidden)
	for i := range layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		add(p+"self_attn.q_proj.weight", hidden, hidden)
		add(p+"self_attn.k_proj.weight", keys, hidden)
		add(p+"self_attn.v_proj.weight", keys, hidden)
		add(p+"self_attn.o_proj.weight", hidden, hidden)
		add(p+"mlp.gate_proj.weight", wide, hidden)
		add(p+"mlp.up_proj.weight", wide, hidden)
		add(p+"mlp.down_proj.weight", hidden, wide)
	}
	add("lm_head.weight", words, hidden)
	text, err := json.Marshal(header)
	check(b, err)
	f, err := os.Create(path)
	check(b, err)
	w := bufio.NewWriterSize(f, 4<<20)
	check(b, binary.Write(w, binary.LittleEndian, uint64(len(text))))
	_, err = w.Write(text)
	check(b, err)
	normal := make([]float32, 1<<16)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range normal {
		normal[i] = float32(rand.New(rand.NewPCG(9, uint64(i))).NormFloat64()) * 0.02
	}
	noise := rand.NewPCG(seed, 1)
	buf := make([]byte, 0, 8<<10)
	for left := at / 2; left > 0; left -= 4 {
		x, y := r.Uint64(), noise.Uint64()
		for range 4 {
			v := normal[x&0xffff] + drift*normal[y&0xffff]
			x, y = x>>16, y>>16
			buf = binary.LittleEndian.AppendUint16(buf, uint16((math.Float32bits(v)+0x8000)>>16))
		}
		if len(buf) == cap(buf) {
			_, err = w.Write(buf)
			check(b, err)
			buf = buf[:0]
		}
	}
	_, err = w.Write(buf)
	check(b, err)
	check(b, w.Flush())
	check(b, f.Close())
}

const pickled = 400_000_000

func writeDictionary(w io.Writer) error {
	if _, err := io.WriteString(w, "\x80\x04}\x94"); err != nil {
		return err
	}
	for i, n := 0, 0; n < pickled || i%1000 != 0; i++ {
		name := fmt.Sprintf("layers.%d.weight", i)
		mark, set := "", ""
		if i%1000 == 0 { // in batches, as Python does
			mark = "("
		}
		if i%1000 == 999 {
			set = "u"
		}
		k, err := fmt.Fprintf(w, "%s\x8c%c%s\x94G12345678%s", mark, len(name), name, set)
		if err != nil {
			return err
		}
		n += k
	}
	_, err := io.WriteString(w, ".")
	return err
}

func writeNumbers(w io.Writer) error {
	if _, err := io.WriteString(w, "\x80\x04"); err != nil {
		return err
	}
	list := "]\x94(" + strings.Repeat("K\x01M\x02\x01N", 700) + "e0"
	for n := 0; n < pickled; n += len(list) {
		if _, err := io.WriteString(w, list); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "N.")
	return err
}

// writeTorch writes a checkpoint as torch.save does: an archive of a pickle and of the storages that it names.
func writeTorch(w io.Writer) error {
	z := zip.NewWriter(w)
	add := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: "m/" + name, Method: zip.Store})
	}
	p, err := add("data.pkl")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p, "\x80\x02}q\x00."); err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for i := range 100 {
		d, err := add(fmt.Sprintf("data/%d", i))
		if err != nil {
			return err
		}
		for range 4 {
			if _, err := d.Write(block); err != nil {
				return err
			}
		}
	}
	v, err := add("version")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(v, "3\n"); err != nil {
		return err
	}
	return z.Close()
}
