package pedigree

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

// kill starts this test again in a folder and kills it at some moment.
func kill(t *testing.T, dir string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), "PALLADIUM_TEST_LINEAGE="+dir)
	check(t, child.Start())
	time.Sleep(100*time.Millisecond + time.Duration(rand.IntN(100_000))*time.Microsecond)
	_ = child.Process.Kill()
	_ = child.Wait()
}
