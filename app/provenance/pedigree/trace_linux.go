//go:build linux && (amd64 || arm64)

package pedigree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// traced runs a command under ptrace and notes every file that it, or a process that it starts, opens. A file's name is
// asked of the kernel once it is open, so that links and relative names are resolved as the process saw them. What is
// mapped or passed on was opened before; what comes through io_uring, or from a process that ran already, is not seen.
func traced(ctx context.Context, c *exec.Cmd) (*ran, error) {
	type result struct {
		r   *ran
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // a process is traced by a thread; this one ends with its goroutine
		r, err := trace(ctx, c)
		done <- result{r, err}
	}()
	end := <-done
	return end.r, end.err
}

const (
	getSyscallInfo = 0x420e // PTRACE_GET_SYSCALL_INFO
	infoEntry      = 1
	infoExit       = 2
	stopSyscall    = syscall.SIGTRAP | 0x80
)

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	Op      uint8
	_       [3]byte
	Arch    uint32
	_, _    uint64 // instruction and stack pointers
	Payload [7]uint64
}

type tracer struct {
	main    int
	pending map[int]bool // threads inside a system call that opens a file
	r       *ran
}

func trace(ctx context.Context, c *exec.Cmd) (*ran, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
			return nil, fmt.Errorf("%w: %w", errNoTrace, err)
		}
		return nil, err
	}
	t := &tracer{main: c.Process.Pid, pending: map[int]bool{}, r: &ran{method: "ptrace", reads: map[string]bool{}, writes: map[string]bool{}}}
	var ended atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		if !ended.Load() {
			_ = syscall.Kill(t.main, syscall.SIGINT)
		}
	})
	defer stop()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(t.main, &ws, 0, nil); err != nil || !ws.Stopped() {
		return nil, fmt.Errorf("%w: the command did not stop at its start", errNoTrace)
	}
	t.opened(t.main, "/proc/"+strconv.Itoa(t.main)+"/exe", unix.O_RDONLY)
	options := syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	err := syscall.PtraceSetOptions(t.main, options)
	if err == nil {
		err = syscall.PtraceSyscall(t.main, 0)
	}
	if err != nil {
		_ = c.Process.Kill()
		return nil, fmt.Errorf("%w: %w", errNoTrace, err)
	}
	err = t.loop()
	ended.Store(true)
	// The process is reaped already: Wait is for what copies its output.
	if e := c.Wait(); e != nil && !errors.Is(e, syscall.ECHILD) && err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return t.r, nil
}

// loop waits for stops of this thread's children until the command and all it started have ended. A process that the
// command leaves running is waited for: it could still write to the outputs.
func (t *tracer) loop() error {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("wait for the command: %w", err)
		}
		switch {
		case ws.Exited():
			t.ended(pid, ws.ExitStatus())
		case ws.Signaled():
			t.ended(pid, 128+int(ws.Signal()))
		case ws.Stopped():
			_ = syscall.PtraceSyscall(pid, t.stopped(pid, ws)) // it may have been killed meanwhile: the next wait tells
		}
	}
}

func (t *tracer) ended(pid, status int) {
	delete(t.pending, pid)
	if pid == t.main {
		t.r.status = status
	}
}

// stopped looks at why a thread stopped and returns the signal that it is to have.
func (t *tracer) stopped(pid int, ws syscall.WaitStatus) int {
	switch sig := ws.StopSignal(); {
	case sig == stopSyscall:
		t.call(pid)
		return 0
	case sig == syscall.SIGTRAP && ws.TrapCause() > 0: // fork, clone, exec
		if ws.TrapCause() == syscall.PTRACE_EVENT_EXEC {
			t.opened(pid, "/proc/"+strconv.Itoa(pid)+"/exe", unix.O_RDONLY)
		}
		return 0
	case sig == syscall.SIGSTOP, sig == syscall.SIGTRAP: // a new thread's first stop
		return 0
	default:
		return int(sig)
	}
}

func (t *tracer) call(pid int) {
	var info syscallInfo
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); e != 0 {
		return
	}
	switch info.Op {
	case infoEntry:
		t.pending[pid] = opens(info.Payload[0])
	case infoExit:
		if n := int64(info.Payload[0]); t.pending[pid] && n >= 0 {
			fd := strconv.FormatInt(n, 10)
			dir := "/proc/" + strconv.Itoa(pid)
			t.opened(pid, dir+"/fd/"+fd, flagsOf(dir+"/fdinfo/"+fd))
		}
		t.pending[pid] = false
	}
}

// flagsOf returns the flags with which a descriptor was opened.
func flagsOf(fdinfo string) int {
	data, err := os.ReadFile(fdinfo)
	if err != nil {
		return unix.O_RDWR
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "flags:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 8, 64)
			return int(n)
		}
	}
	return unix.O_RDWR
}

// opened notes the file behind a link of /proc.
func (t *tracer) opened(_ int, link string, flags int) {
	path, err := os.Readlink(link)
	if err != nil || !filepath.IsAbs(path) || flags&unix.O_PATH == unix.O_PATH {
		return
	}
	if path, gone := strings.CutSuffix(path, " (deleted)"); gone {
		if _, err := os.Lstat(path); err != nil {
			return
		}
	}
	if info, err := os.Stat(link); err != nil || !info.Mode().IsRegular() {
		return
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		t.r.reads[path] = true
	case unix.O_WRONLY:
		t.r.writes[path] = true
	default:
		t.r.reads[path], t.r.writes[path] = true, true
	}
}
