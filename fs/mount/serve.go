package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/fs/table"
)

// handle answers one call of worker c.
func (h *Holder) handle(c *child, m *message) (answer, error) {
	switch m.Op {
	case opPlan:
		return h.handlePlan(m)
	case opFailed:
		return h.handleFailed(c, m)
	case opPrepared:
		return h.handlePrepared(c)
	case opServing:
		return h.handleServing(c)
	case opGround:
		return answer{body: h.ground()}, nil
	case opRegister:
		return h.handleRegister(m)
	case opDrop:
		return h.handleDrop(m)
	case opFetch:
		return h.handleFetch(m)
	case opKeep, opKept:
		return h.handleKeep(m)
	case opTouch:
		return h.handleTouch(m)
	case opHelper:
		return h.handleHelper(m)
	case opNotify:
		return h.handleNotify(m)
	case opStop:
		return h.handleStop(m)
	case opUpgrade:
		return h.handleUpgrade(m)
	}
	return answer{}, fmt.Errorf("answering %q: no such call", m.Op)
}

// handlePlan mounts for the first worker; the plan of a later one can change
// nothing any more, but is noted.
func (h *Holder) handlePlan(m *message) (answer, error) {
	var plan Plan
	if err := m.decode(&plan); err != nil {
		return answer{}, err
	}
	h.mu.Lock()
	mounted := h.m != nil
	h.mu.Unlock()
	if !mounted {
		if err := h.mountFor(plan); err != nil {
			return answer{}, err
		}
	} else if plan.Mount != h.plan.Mount || plan.Control != h.plan.Control {
		h.notice("the policy's mount or control has changed: restart secretfs to move them")
	}
	h.mu.Lock()
	old := mounted || h.current != nil
	h.mu.Unlock()
	g := h.ground()
	g.Later = old
	// For a look at its layout, while the worker before still serves.
	files, err := dupAll([]*os.File{h.table})
	return answer{body: g, files: files}, err
}

// handleFailed notes why a worker is about to end: who waits for it wants to know.
func (h *Holder) handleFailed(c *child, m *message) (answer, error) {
	var n named
	if err := m.decode(&n); err != nil {
		return answer{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.why = n.Name
	return answer{}, nil
}

func (h *Holder) mountFor(plan Plan) error {
	if h.inherit(plan) {
		return nil
	}
	lock, err := claim(plan.Mount)
	if err != nil {
		return err
	}
	if hides(lock) {
		h.notice(plan.Mount + " was not empty: what is in it is hidden for as long as it is mounted, and still on the disk")
	}
	listener, err := listen(plan.Control)
	if err != nil {
		lock.Close()
		return err
	}
	nodes, err := table.Create()
	if err != nil {
		return err
	}
	m, err := h.mount(plan.Mount)
	if err != nil {
		listener.Close()
		_ = control.Remove(plan.Control)
		return err
	}
	h.mu.Lock()
	h.m, h.lock, h.control, h.table, h.plan, h.since = m, lock, listener, nodes, plan, time.Now()
	h.mu.Unlock()
	return h.furnish()
}

func (h *Holder) mount(dir string) (*mounted, error) {
	make := mountUser
	if h.system() {
		make = mountSystem
	}
	m, err := make(dir)
	if err != nil {
		return nil, err
	}
	if top, ok, _ := topMount(dir); ok {
		m.id = top.id
	}
	return m, nil
}

// furnish makes what open files are read from and says what this kernel lacks.
func (h *Holder) furnish() error {
	if !h.m.agreed.Resend() {
		h.notice("this kernel cannot resend requests (Linux 6.9 can): whoever waits when a worker dies is sent to ask again, or sees EINTR from read(2)")
	}
	if !h.m.system {
		if !memfdSecret() {
			h.notice("this kernel has no memfd_secret (switched on with secretmem.enable=1): files that are open when a worker dies cannot be read on")
		}
		return nil
	}
	store, err := newStore()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.store = store
	h.mu.Unlock()
	return nil
}

func memfdSecret() bool {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

func listen(path string) (*os.File, error) {
	l, err := control.Listen(path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// handlePrepared hands over: the worker before this one ends, and what it had
// goes to c.
func (h *Holder) handlePrepared(c *child) (answer, error) {
	h.mu.Lock()
	old := h.current
	h.mu.Unlock()
	if old != nil && old != c {
		old.kill()
		old.hangUp()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current, h.starting = c, nil
	h.changed()
	files := []*os.File{h.m.dev, h.table, h.control}
	if h.store != nil {
		files = append(files, h.store)
	}
	copies, err := dupAll(files)
	return answer{files: copies}, err
}

func (h *Holder) handleServing(c *child) (answer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.served.IsZero() {
		c.served = time.Now()
		close(c.serving)
	}
	return answer{}, nil
}

func (h *Holder) ground() Ground {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := Ground{
		Mount: h.m.dir, Control: h.plan.Control, System: h.m.system, MountID: h.m.id, Agreed: h.m.agreed,
		Holder: os.Getpid(), Restarts: h.restarts, Since: h.since, Notices: h.notices, UpgradeErr: h.upgradeErr,
	}
	for name := range h.kept {
		g.Kept = append(g.Kept, name)
	}
	return g
}

func (h *Holder) notice(sentence string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.notices {
		if n == sentence {
			return
		}
	}
	h.notices = append(h.notices, sentence)
}

// removeControl takes the socket's name away, so that commands say at once
// that nothing is mounted.
func (h *Holder) removeControl() {
	_ = control.Remove(h.plan.Control)
	// Best effort: the directory is ours only if nobody else uses it.
	_ = os.Remove(filepath.Dir(h.plan.Control))
}
