package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrCrashLoop is returned by Run when workers die faster than they serve.
var ErrCrashLoop = errors.New("worker keeps dying")

// errKilled says that a worker was killed before it served: no fault of its own.
var errKilled = errors.New("starting a worker: it was killed")

// An ExitError says that a worker refused to begin, with the exit code that it
// gave and what it has said, which it has printed too.
type ExitError struct {
	Code int
	Why  string
}

func (e *ExitError) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("worker ended with exit code %d", e.Code)
	}
	return fmt.Sprintf("worker ended with exit code %d: %s", e.Code, e.Why)
}

// A Config says how a holder runs.
type Config struct {
	// WorkerArgs are the arguments that make this program a worker.
	WorkerArgs []string
	// Helpers say how helpers are started.
	Helpers HelperConfig
	// Ready is called once, when the first worker serves.
	Ready func()
	Log   *slog.Logger
	// Heartbeat is how long a statfs on the mount may go unanswered before the
	// worker is replaced. 0 means 3 s.
	Heartbeat time.Duration
}

const (
	heartbeatDefault = 3 * time.Second
	startTimeout     = 30 * time.Second
	maxFaults        = 5
	settled          = 5 * time.Second
)

// A Holder owns the connection. See the package comment.
type Holder struct {
	cfg     Config
	helpers *Helpers

	mu        sync.Mutex
	m         *mounted // nil until the first plan
	lock      *os.File // flock on the directory under the mount
	table     *os.File
	store     *os.File // nil without passthrough
	control   *os.File // the listening control socket
	plan      Plan
	backings  map[int32]bool
	snapshots map[int32]*os.File
	nextID    int32 // snapshots count down from -1
	kept      map[string]*os.File
	notices   []string
	since     time.Time // when it was mounted
	restarts  int
	deaths    []time.Time

	current    *child // serves, or is about to
	starting   *child // not yet prepared
	faults     int
	upgradeErr string // why the last upgrade did not work

	stopAsked atomic.Bool
	stops     chan bool // true: lazily
	upgrades  chan string
	touching  sync.Mutex
	shelf     *shelf // nil without a service manager
}

// Run mounts and holds until the filesystem is unmounted. It returns nil after
// an unmount, an ExitError if the first worker refuses, ErrCrashLoop when it
// has given up.
func Run(cfg Config) error {
	h := &Holder{
		cfg: cfg, backings: make(map[int32]bool), snapshots: make(map[int32]*os.File),
		kept: make(map[string]*os.File), stops: make(chan bool, 1), upgrades: make(chan string, 1),
		shelf: newShelf(), helpers: NewHelpers(cfg.Helpers),
	}
	if h.cfg.Heartbeat == 0 {
		h.cfg.Heartbeat = heartbeatDefault
	}
	// A worker that dies between two writes must not take us with it.
	signal.Ignore(unix.SIGPIPE)
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	if err := visible(); err != nil {
		return err
	}
	if err := h.resume(); err != nil {
		return err
	}
	if err := h.begin(); err != nil {
		return err
	}
	if h.cfg.Ready != nil {
		h.cfg.Ready()
	}
	if h.shelf != nil {
		go h.fillShelf()
	}
	h.announce()
	return h.supervise(sigs)
}

// begin brings up this holder's first worker. A worker that is there already,
// an earlier holder's, is only replaced by one that is ready.
func (h *Holder) begin() error {
	resumed := h.m != nil
	var err error
	if resumed {
		err = h.bringUp("the holder before this one")
	} else {
		err = h.start()
	}
	if err == nil {
		return nil
	}
	if h.serving() == nil {
		h.giveUp()
		return err
	}
	if !resumed {
		return err // the worker of a dead holder serves on without
	}
	h.cfg.Log.Error("upgrading: the worker before the upgrade serves on", "error", err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.upgradeErr, h.faults = err.Error(), 0
	return nil
}

func (h *Holder) system() bool { return os.Geteuid() == 0 }

// start brings up a worker and waits until it serves.
func (h *Holder) start() error {
	c, err := h.spawn()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.starting = c
	h.mu.Unlock()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-c.serving:
		return nil
	case status := <-c.exited:
		h.forget(c)
		if status.Exited() && status.ExitStatus() != 0 {
			return &ExitError{Code: status.ExitStatus(), Why: h.whyOf(c)}
		}
		if status.Signaled() && status.Signal() == unix.SIGKILL {
			return errKilled
		}
		return fmt.Errorf("starting a worker: it ended with %s", describe(status))
	case <-timeout.C:
		c.kill()
		h.forget(c)
		return fmt.Errorf("starting a worker: no answer within %s", startTimeout)
	}
}

func (h *Holder) whyOf(c *child) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.why
}

func (h *Holder) forget(c *child) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.starting == c {
		h.starting = nil
	}
	if h.current == c {
		h.current = nil
	}
	c.hangUp()
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "signal " + unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("exit code %d", s.ExitStatus())
}

// supervise is the holder's life after the first worker serves.
func (h *Holder) supervise(sigs <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hung := h.canary(ctx)
	unmounted := h.watchMount(ctx)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		c := h.serving()
		select {
		case status := <-c.exited:
			if err := h.replace(c, describe(status), status.Signaled() && status.Signal() == unix.SIGKILL); err != nil {
				return err
			}
		case <-c.hungUp:
			// The process may be a zombie that cannot be reaped.
			if err := h.replace(c, "its link was closed", true); err != nil {
				return err
			}
		case <-tick.C:
			if c.zombie() {
				if err := h.replace(c, "its main thread has ended", true); err != nil {
					return err
				}
			}
		case <-hung:
			if err := h.replace(c, fmt.Sprintf("no answer to statfs within %s", h.cfg.Heartbeat), true); err != nil {
				return err
			}
		case s := <-sigs:
			if s == unix.SIGHUP {
				_ = unix.Kill(c.pid, unix.SIGHUP)
				continue
			}
			return h.stop()
		case <-h.stops:
			return h.stop()
		case binary := <-h.upgrades:
			h.upgrade(binary)
		case <-unmounted:
			if h.stopAsked.Load() {
				unmounted = nil // stops comes, once the answer is out
				continue
			}
			h.cfg.Log.Info("unmounted by somebody else", "mount", h.m.dir)
			return h.stop()
		}
	}
}

func (h *Holder) serving() *child {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// replace ends worker c, if it has not ended, and starts the next. killed says
// that its end is nobody's fault that a restart would repeat.
func (h *Holder) replace(c *child, why string, killed bool) error {
	c.kill()
	h.cfg.Log.Warn("replacing the worker", "pid", c.pid, "why", why)
	h.mu.Lock()
	if time.Since(c.served) > settled {
		h.faults = 0
	}
	if !killed {
		h.faults++
	}
	h.restarts++
	h.mu.Unlock()
	h.forget(c)
	if err := h.bringUp(why); err != nil {
		h.giveUp()
		return err
	}
	return nil
}

// bringUp starts workers until one serves, or it is time to give up. why is
// what became of the last one.
func (h *Holder) bringUp(why string) error {
	for {
		if h.looping() {
			return fmt.Errorf("%w: the last one: %s", ErrCrashLoop, why)
		}
		err := h.start()
		if err == nil {
			return nil
		}
		h.cfg.Log.Error("starting a worker", "error", err)
		why = err.Error()
		h.mu.Lock()
		if !errors.Is(err, errKilled) {
			h.faults++
		}
		n := h.faults
		h.mu.Unlock()
		time.Sleep(time.Duration(n) * 50 * time.Millisecond)
	}
}

// looping says that it is time to give up: too many workers that ended by their
// own fault in a row, or a death every tenth of a second for ten seconds.
func (h *Holder) looping() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.deaths = append(h.deaths, now)
	for len(h.deaths) > 0 && now.Sub(h.deaths[0]) > 10*time.Second {
		h.deaths = h.deaths[1:]
	}
	return h.faults >= maxFaults || len(h.deaths) > 100
}

// giveUp leaves no dead mount behind: readers get an error instead of a hang,
// and the directory is a directory again.
func (h *Holder) giveUp() {
	_ = notify("STOPPING=1\nSTATUS=giving up")
	h.mu.Lock()
	m := h.m
	h.mu.Unlock()
	if m == nil {
		return
	}
	h.clearShelf()
	m.abort()
	m.close()
	h.removeControl()
}
