// Package worker is the process that serves: it reads the policy, opens the
// backends, locks itself up, adopts the connection that the holder keeps, and
// answers the kernel and the control socket until it is killed or the mount is
// gone. It may die at any moment; whatever has to outlive it is with the
// holder.
package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/fs/mount"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/gate"
)

// A Config says what a worker serves.
type Config struct {
	Policy  string // the policy file
	Env     policy.Env
	Openers map[string]backend.Opener // backend type -> how to open one
	// Identities opens offline copies with the private keys in these files.
	Identities func(files []string, start helper.Starter) offline.Keys
	Version    string
}

// The names under which the holder keeps things for the next worker: the last
// good policy, what the name service has answered, and which backends are locked.
const (
	keptPolicy = "policy"
	keptNames  = "names"
	keptLocks  = "locks"
)

// A worker is the one of this process.
type worker struct {
	cfg    Config
	link   *mount.Link
	ground mount.Ground
	log    *slog.Logger

	inherited mount.Inherited

	names *policy.Names
	exes  *policy.Executables
	audit *audit.Log
	// logged is the audit section that audit was opened with.
	logged policy.Audit
	gate   *gate.Gate
	gated  chan struct{} // closed when gate is set
	proc   *caller.Proc
	fs     *fs.FS
	conn   *mount.Conn

	changes changes
	locks   locks
	// locksKept keeps two changes of locks from being kept in the wrong order.
	locksKept sync.Mutex
	unlocks   chan struct{}     // held by the one secretfs unlock that there may be at a time
	said      map[string]string // backend -> error logged last; for the goroutine that tells of changes

	state      stateFolder
	auditMount int // the mount of the audit log's folder; 0 if there was no folder

	givenBack sync.Once

	mu        sync.Mutex        // serializes reloads and guards what follows
	source    [sha256.Size]byte // the digest of the policy in force
	policyErr error             // of the policy file, if it is not the one in force
	opened    map[string]*opened
	notices   []string
}

// Run serves until the mount is gone. The exit code is for the holder: a
// policy with errors is told apart with errors.As from everything else.
func Run(cfg Config) error {
	w := &worker{cfg: cfg, gated: make(chan struct{}), unlocks: make(chan struct{}, 1), opened: make(map[string]*opened), said: make(map[string]string)}
	w.log = slog.New(slog.NewTextHandler(newQueue(os.Stderr), nil))
	system := os.Geteuid() == 0
	if err := secret.Harden(system); err != nil {
		return err
	}
	debug.SetGCPercent(garbage)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	if w.link, err = mount.Connect(); err != nil {
		return err
	}
	if err := w.begin(ctx, system); err != nil {
		w.link.Failed(err)
		return err
	}
	return w.serve(ctx)
}

// begin does all that comes before the first request.
func (w *worker) begin(ctx context.Context, system bool) error {
	p, err := w.readPolicy()
	if err != nil {
		return err
	}
	if err := w.settle(ctx, p, system); err != nil {
		return err
	}
	if saved, err := w.link.KeptBytes(keptLocks); err == nil {
		w.locks.restore(saved)
	}
	view, err := w.view(p)
	if err != nil {
		return err
	}
	go w.names.Run(ctx)
	go w.exes.Run(ctx)
	if w.ground.Restarts == 0 { // later ones know what the first has asked for, and readers wait
		w.settleNames(ctx)
	}
	if w.inherited, err = w.link.Prepared(ctx); err != nil {
		return err
	}
	return w.adopt(w.inherited, view)
}

// namesWait is how long names that only the name service knows may delay what
// gives files to them.
const namesWait = 500 * time.Millisecond

// settleNames waits until every name is known or known not to be.
func (w *worker) settleNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, namesWait)
	defer cancel()
	w.names.Settle(ctx)
}

// settle has the holder mount, and takes leave of all privileges that serving
// does not need.
func (w *worker) settle(ctx context.Context, p *policy.Policy, system bool) error {
	var err error
	w.ground, err = w.link.Plan(ctx, mount.Plan{Mount: p.Mount, Control: p.Control})
	if err != nil {
		return err
	}
	logDir := filepath.Dir(p.Audit.File)
	made, err := w.auditFolder(logDir)
	if err != nil {
		return err
	}
	w.state = w.stateFolder(p)
	var writable []string
	if made {
		writable = append(writable, logDir)
	}
	if w.state.writable && !(made && w.state.path == logDir) {
		writable = append(writable, w.state.path)
	}
	err = mount.LockUp(system, writable)
	if errors.Is(err, mount.ErrNoSandbox) {
		w.notice(err.Error())
		err = nil
	}
	if made {
		w.auditMount = mount.At(logDir)
	}
	w.state.mount = mount.At(w.state.path)
	return err
}

func (w *worker) adopt(in mount.Inherited, view *gate.View) error {
	nodes, err := table.Map(in.Table)
	if err != nil {
		return err
	}
	w.logged = view.Policy.Audit
	if w.audit, err = audit.Open(w.auditConfig(view.Policy)); err != nil {
		return err
	}
	if w.proc, err = caller.Open("/proc"); err != nil {
		return err
	}
	w.gate = gate.New(view, w.audit)
	close(w.gated)
	w.fs = fs.New(fs.Config{
		Table: nodes, Gate: w.gate, Proc: w.proc, Store: w.link,
		Backing: in.Store, Passthrough: w.ground.Agreed.Passthrough(), Holder: w.ground.Holder, Covered: w.ground.Covered, Log: w.log,
	})
	var raw fuse.RawFileSystem = w.fs
	if !w.ground.Agreed.Resend() {
		raw = w.fs.Noted()
	}
	if w.conn, err = mount.Adopt(in.Dev, w.ground.Agreed, raw, log.New(newQueue(os.Stderr), "", 0)); err != nil {
		return err
	}
	w.fs.Attach(w.conn)
	w.fs.Abandoned(func(p table.Pending) bool { return w.conn.Refuse(p.Unique, p.Errno) })
	objects, err := w.link.Objects()
	if err != nil {
		return err
	}
	w.fs.Adopt(objects)
	go w.link.Hoard()
	return nil
}

func (w *worker) serve(ctx context.Context) error {
	go w.changes.run(ctx, w.tell)
	go w.signals(ctx)
	go w.mourn(ctx)
	go w.watchState(ctx)
	go w.watchAudit(ctx, filepath.Dir(w.gate.View().Policy.Audit.File))
	go tidy(ctx, w.log)
	server := &control.Server{Handlers: w.handlers()}
	go func() {
		if err := server.Serve(ctx, w.inherited.Control); err != nil {
			w.log.Error("serving the control socket", "error", err)
		}
	}()
	go func() {
		if err := w.link.Serving(); err != nil {
			w.log.Error("telling the holder", "error", err)
		}
		w.warm() // not before: that we serve must not wait for a large file
	}()
	w.conn.Serve()
	w.giveBack()
	w.bury()
	return nil
}

// bury takes the control socket's name away if no holder is there to do it: the
// mount is gone. It does so while we still listen, so that the name cannot be
// another daemon's. A system worker may not, in its read-only mounts: then
// commands find nobody at the socket, and the next mount replaces it.
func (w *worker) bury() {
	select {
	case <-w.link.Gone:
		_ = control.Remove(w.ground.Control)
	default:
	}
}

// signals reloads on SIGHUP and ends on SIGTERM, which the holder sends once
// it has unmounted.
func (w *worker) signals(ctx context.Context) {
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGHUP, unix.SIGTERM)
	signal.Ignore(unix.SIGINT)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-sigs:
			if s == unix.SIGTERM {
				w.giveBack()
				_ = w.audit.Close() // what it could not write it has said
				os.Exit(0)
			}
			if err := w.audit.Reopen(); err != nil {
				w.log.Error("opening the audit log again", "error", err)
			}
			if err := w.reload(); err != nil {
				w.log.Error("reloading", "error", err)
			}
		}
	}
}

// mourn says when the holder has died. The worker serves on without.
func (w *worker) mourn(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-w.link.Gone:
		w.notice("the holder has died: nobody will replace this worker; start secretfs mount again, which takes over")
		w.log.Error("the holder has died: serving on without", "holder", w.ground.Holder)
	}
}

func (w *worker) notice(sentence string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, sentence)
}
