package main

import (
	"runtime"
	"testing"

	"github.com/palladium-guard/palladium/app/serve"
)

// Threads are added where gateway and detector share a process, and the environment does not say how many there are.
func TestSpareThreads(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, c := range []struct {
		env   string
		roles []serve.Role
		more  int
	}{
		{"", serve.Roles(), 2}, {"3", serve.Roles(), 0}, {"", []serve.Role{serve.RoleGateway}, 0}, {"", []serve.Role{serve.RoleDetector, serve.RoleAPI}, 0},
	} {
		t.Setenv("GOMAXPROCS", c.env)
		runtime.GOMAXPROCS(before)
		spareThreads(c.roles)
		if got := runtime.GOMAXPROCS(0); got != before+c.more {
			t.Errorf("%v with %q: %d threads, %d before", c.roles, c.env, got, before)
		}
	}
}
