package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPayload is the longest message of servers that run in this process.
const maxPayload = 8 << 20

// node is a server in this process. It can be started anew while connections to it stay: they reconnect.
type node struct {
	opts     *server.Options
	log      *slog.Logger
	lock     *os.File
	user     string // of the loopback port that a cluster's node cannot do without
	password string

	mu     sync.Mutex
	server *server.Server // nil: stopped
}

// newNode starts a server. It returns when that is ready for connections, which is before a cluster has a leader.
func newNode(c Config, log *slog.Logger) (*node, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the stream's directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the stream's directory: %w", err)
	}
	n := &node{log: log}
	n.opts = &server.Options{
		ServerName: "palladium", DontListen: true, NoSigs: true, NoLog: false, JetStream: true, StoreDir: dir,
		MaxPayload: maxPayload, MaxPending: 256 << 20, DisableJetStreamBanner: true, NoSystemAccount: false,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 50, // each stream has its own limit
		SyncInterval: time.Duration(c.Sync), JetStreamLimits: server.JSLimitOpts{MaxHAAssets: 0},
	}
	if c.Sync == SyncAlways {
		n.opts.SyncInterval, n.opts.SyncAlways = time.Duration(defaultSync), true
	}
	if c.Cluster.Name != "" {
		if err := n.join(c.Cluster); err != nil {
			return nil, err
		}
	}
	if n.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("lock the stream's directory: %w", err)
	}
	if err := flock(n.lock); err != nil {
		n.lock.Close()
		return nil, fmt.Errorf("lock %s: another process has the stream open; give each its own stream.dir: %w", dir, err)
	}
	if err := n.start(); err != nil {
		n.lock.Close()
		return nil, err
	}
	return n, nil
}

// join makes the options those of a node of a cluster.
func (n *node) join(c Cluster) error {
	shared, err := secret(c.SecretFile)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("split the cluster's address: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("read the cluster's port: %w", err)
	}
	between, err := load(c.TLS, true)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	n.opts.ServerName = c.Node
	n.opts.Cluster = server.ClusterOpts{
		Name: c.Name, Host: host, Port: number, Username: clusterUser, Password: shared, AuthTimeout: 5, TLSConfig: between, TLSTimeout: 5,
		PingInterval: 2 * time.Second, MaxPingsOut: 2,
	}
	n.opts.Routes = c.routes(shared)
	// The server starts no routes without a port for clients, so there is one: on loopback, any, under a password that
	// nobody else is told.
	n.user, n.password = "palladium", rand.Text()
	n.opts.DontListen, n.opts.Host, n.opts.Port = false, "127.0.0.1", server.RANDOM_PORT
	n.opts.Username, n.opts.Password = n.user, n.password
	n.opts.NoAuthUser = ""
	return nil
}

// patience is how long a server is given to start or stop.
const patience = 30 * time.Second

func (n *node) start() error {
	s, err := server.NewServer(n.opts.Clone())
	if err != nil {
		return fmt.Errorf("start the stream: %w", err)
	}
	s.SetLoggerV2(&lines{log: n.log, told: make(map[string]time.Time)}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(patience) {
		s.Shutdown()
		return errors.New("start the stream: it was not ready in time; look at the log and at the disk under stream.dir")
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return errors.New("start the stream: its files cannot be used; look at the log and at the disk under stream.dir")
	}
	n.mu.Lock()
	n.server = s
	n.mu.Unlock()
	return nil
}

func (n *node) stop() {
	n.mu.Lock()
	s := n.server
	n.server = nil
	n.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func (n *node) close() {
	n.stop()
	n.lock.Close()
}

// broken says why the server stores nothing more until it is started anew, which JetStream does after a write that failed;
// empty while it stores.
func (n *node) broken() string {
	n.mu.Lock()
	s := n.server
	n.mu.Unlock()
	if s == nil {
		return "it is stopped"
	}
	if !s.JetStreamEnabled() {
		return "it has given up storing"
	}
	// Its health is to be had in process in this form alone.
	var says answer
	s.HandleHealthz(&says, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/healthz"}})
	if strings.Contains(says.String(), "write error") {
		return "a write to its disk has failed"
	}
	return ""
}

// answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	bytes.Buffer
	header http.Header
}

func (a *answer) WriteHeader(int) {}
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// mend starts the server anew once its disk takes writes again. It reports whether it did.
func (n *node) mend() (bool, error) {
	if err := n.probe(); err != nil {
		return false, fmt.Errorf("the disk takes nothing: %w", err)
	}
	n.stop()
	if err := n.start(); err != nil {
		return false, err
	}
	return true, nil
}

// probe writes a mebibyte to the directory, and deletes it.
func (n *node) probe() (err error) {
	f, err := os.OpenFile(filepath.Join(n.opts.StoreDir, "probe"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return err
	}
	return f.Sync()
}

// InProcessConn gives a connection to the server, whichever runs now. It is what nats.InProcessServer asks for.
func (n *node) InProcessConn() (net.Conn, error) {
	n.mu.Lock()
	s := n.server
	n.mu.Unlock()
	if s == nil {
		return nil, errors.New("the stream is stopped")
	}
	return s.InProcessConn()
}

// lines hands the server's log on. What it notes in passing is of no use to an operator, and what it repeats is told once
// a minute.
type lines struct {
	log  *slog.Logger
	mu   sync.Mutex
	told map[string]time.Time
}

func (l *lines) tell(level slog.Level, format string, v []any) {
	text := "stream: " + fmt.Sprintf(format, v...)
	l.mu.Lock()
	again := time.Since(l.told[text]) < time.Minute
	if len(l.told) > 256 {
		clear(l.told)
	}
	if !again {
		l.told[text] = time.Now()
	}
	l.mu.Unlock()
	if !again {
		l.log.Log(context.Background(), level, text)
	}
}

func (l *lines) Noticef(format string, v ...any) { l.log.Debug("stream: " + fmt.Sprintf(format, v...)) }
func (l *lines) Warnf(format string, v ...any)   { l.tell(slog.LevelWarn, format, v) }
func (l *lines) Fatalf(format string, v ...any)  { l.tell(slog.LevelError, format, v) }
func (l *lines) Errorf(format string, v ...any)  { l.tell(slog.LevelError, format, v) }
func (l *lines) Debugf(string, ...any)           {}
func (l *lines) Tracef(string, ...any)           {}
