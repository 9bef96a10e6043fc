package policy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Executables keeps which files the paths in `only: executables` mean now,
// symlinks followed (/run/current-system/sw/bin/x). Answers come from a
// snapshot without lock or I/O; all work is done in Use, Refresh and Run.
// Safe for concurrent use.
//
// Each file is held open with O_PATH: while a number of a file stands in the
// snapshot, no other file can get it.
type Executables struct {
	recheck time.Duration
	files   atomic.Pointer[map[string]FileID]
	wake    chan struct{}

	mu   sync.Mutex
	open map[string]openFile // path → what it means
	errs map[string]error    // path → why it means nothing
}

type openFile struct {
	fd int
	id FileID
}

// NewExecutables returns Executables that know none. Run looks at the paths
// each recheck, 15 s if that is 0.
func NewExecutables(recheck time.Duration) *Executables {
	e := &Executables{recheck: cmp.Or(recheck, 15*time.Second), wake: make(chan struct{}, 1)}
	e.files.Store(&map[string]FileID{})
	e.open, e.errs = map[string]openFile{}, map[string]error{}
	return e
}

// File is the file that path means, not ok where there is none or no policy
// in use names it.
func (e *Executables) File(path string) (FileID, bool) {
	id, ok := (*e.files.Load())[path]
	return id, ok
}

// Use looks up the executables that p names before it returns, and drops all
// others.
func (e *Executables) Use(p *Policy) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wanted := map[string]bool{}
	p.eachPerm(func(perm *Perm) {
		for _, path := range perm.Only.Executables {
			wanted[path] = true
		}
	})
	e.look(wanted)
}

// Refresh looks at all paths again.
func (e *Executables) Refresh() {
	e.mu.Lock()
	defer e.mu.Unlock()
	wanted := map[string]bool{}
	for path := range e.open {
		wanted[path] = true
	}
	for path := range e.errs {
		wanted[path] = true
	}
	e.look(wanted)
}

// look opens the wanted paths and drops all others. e.mu is held.
func (e *Executables) look(wanted map[string]bool) {
	before := e.open
	e.open, e.errs = map[string]openFile{}, map[string]error{}
	next := map[string]FileID{}
	for path := range wanted {
		f, err := openExecutable(path)
		if err != nil {
			e.errs[path] = err
			continue
		}
		e.open[path], next[path] = f, f.id
	}
	e.files.Store(&next)
	for _, f := range before { // after the snapshot lost their numbers
		_ = unix.Close(f.fd)
	}
}

func openExecutable(path string) (openFile, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return openFile{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return openFile{}, err
	}
	return openFile{fd, FileID{Dev: uint64(st.Dev), Ino: st.Ino}}, nil
}

// Kick makes Run look at the paths soon, without blocking: a handler calls it
// that refused an executable, which may have been replaced by an upgrade.
func (e *Executables) Kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// minRecheck bounds what kicks may cost.
const minRecheck = 200 * time.Millisecond

// Run keeps the paths looked up until ctx ends, and closes the files then.
func (e *Executables) Run(ctx context.Context) {
	ticker := time.NewTicker(e.recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			e.mu.Lock()
			defer e.mu.Unlock()
			e.look(nil)
			return
		case <-ticker.C:
		case <-e.wake:
			select {
			case <-ctx.Done():
			case <-time.After(minRecheck):
			}
		}
		e.Refresh()
	}
}

// A MissingExecutable is a path that means no file now. Nobody passes a rule
// by it.
type MissingExecutable struct {
	Path string
	Err  error
}

// Missing lists them, sorted.
func (e *Executables) Missing() []MissingExecutable {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []MissingExecutable
	for path, err := range e.errs {
		list = append(list, MissingExecutable{path, err})
	}
	slices.SortFunc(list, func(a, b MissingExecutable) int { return cmp.Compare(a.Path, b.Path) })
	return list
}
