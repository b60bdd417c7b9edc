//go:build unix

// Package pgtest starts a PostgreSQL of its own for tests, from the system's packages, on loopback and with trust for all.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrMissing says that PostgreSQL is not installed, and how to get it.
var ErrMissing = errors.New("PostgreSQL is not installed: apt-get install postgresql, or put the folder of initdb into PALLADIUM_POSTGRES")

// Server is a running PostgreSQL. Its methods are for one goroutine, but Database.
type Server struct {
	bin, dir string
	port     int
	owner    *syscall.Credential // nil: who runs the test
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
	log      string
	number   atomic.Int64
}

// Launch starts a server whose data stands below parent, or in a temporary folder when parent is empty. Stop ends it.
func Launch(parent string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp(parent, "pg"); err != nil {
		return nil, err
	}
	s.log = filepath.Join(s.dir, "log")
	if err := s.prepare(); err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// binaries finds the folder of initdb and postgres, of the newest version that is installed.
func binaries() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int {
		x, _ := strconv.Atoi(filepath.Base(filepath.Dir(a)))
		y, _ := strconv.Atoi(filepath.Base(filepath.Dir(b)))
		return y - x
	})
	dirs = append([]string{os.Getenv("PALLADIUM_POSTGRES")}, dirs...)
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "initdb")); d != "" && err == nil {
			return d, nil
		}
	}
	return "", ErrMissing
}

// prepare makes the data folder, under another user when root runs the test, since PostgreSQL refuses root.
func (s *Server) prepare() error {
	if os.Getuid() == 0 {
		for _, name := range []string{"postgres", "nobody"} {
			u, err := user.Lookup(name)
			if err != nil {
				continue
			}
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			if err := os.Chown(s.dir, uid, gid); err != nil {
				return err
			}
			break
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-U", "palladium", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// Start starts the server, again after Kill, and waits until it answers.
func (s *Server) Start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	deadline := time.Now().Add(60 * time.Second)
	for {
		cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-k", s.dir,
			"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "jit=off")
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, log, log, s.attributes()
		begun, done := make(chan error), make(chan struct{})
		go func() {
			runtime.LockOSThread() // the kernel ends the server when the thread that started it ends
			err := cmd.Start()
			begun <- err
			if err == nil {
				cmd.Wait() // how a server ended that was killed tells nothing
				close(done)
			}
		}()
		if err := <-begun; err != nil {
			return err
		}
		s.cmd, s.done = cmd, done
		for {
			if s.answers() {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("PostgreSQL does not answer: %s", s.Log())
			}
			select {
			case <-done: // such as: shared memory of the killed one is still in use
			case <-time.After(50 * time.Millisecond):
				continue
			}
			time.Sleep(200 * time.Millisecond)
			break
		}
	}
}

func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// Log gives the last lines that the server has logged.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.log)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
}

// Kill ends the server and all its processes with SIGKILL.
func (s *Server) Kill() {
	server := s.cmd.Process.Pid
	syscall.Kill(server, syscall.SIGSTOP) // it shall start none in place of those that end
	for _, pid := range append(children(server), server) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.done
}

// children lists the processes that pid has started.
func children(pid int) (out []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			out = append(out, child)
		}
	}
	return out
}

// Stop ends the server and deletes its data.
func (s *Server) Stop() error {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-s.done:
		case <-time.After(10 * time.Second):
			s.Kill()
		}
	}
	return os.RemoveAll(s.dir)
}

// Database makes an empty database that is dropped when the test ends, and gives its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d", s.number.Add(1))
	s.run(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.run(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.url(name)
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://palladium@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

func (s *Server) run(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		t.Fatalf("connect to the test's PostgreSQL: %v\n%s", err, s.Log())
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Dir is the folder of the server's data and socket.
func (s *Server) Dir() string { return s.dir }
