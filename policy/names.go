package policy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Database is what getent(1) calls where names are looked up.
type Database string

// The databases that hold users and groups.
const (
	Users  Database = "passwd"
	Groups Database = "group"
)

// Kind is what db holds, in English.
func (db Database) Kind() string {
	if db == Users {
		return "user"
	}
	return string(db)
}

// ErrNoSuchName is wrapped by a Lookup's error when the name service answered,
// and knows no such name.
var ErrNoSuchName = errors.New("no such name")

// A Lookup asks the name service for the id of a user or group. It may be slow,
// and ends with ctx.
type Lookup func(ctx context.Context, db Database, name string) (id uint32, err error)

// NamesConfig is what Names work with. Empty fields stand for the defaults.
type NamesConfig struct {
	Passwd, Group string        // "/etc/passwd" and "/etc/group"
	Lookup        Lookup        // for what is not in these; nil asks nobody
	Recheck       time.Duration // between looks at the files and at names found by Lookup; 15 s
	FirstRetry    time.Duration // until a failed Lookup is tried again, doubled each time up to MaxRetry; 1 s
	MaxRetry      time.Duration // 1 min
	// Changed, if set, is called when a name means something else than
	// before. It must not call Names.
	Changed func()
}

// lookupTimeout ends one Lookup; lookupsAtOnce bounds how many run.
const (
	lookupTimeout = 10 * time.Second
	lookupsAtOnce = 4
)

// Names keeps the ids of the users and groups that a policy names. Answers come
// from a snapshot without lock or I/O, so that they are fit for FUSE handlers;
// all work is done in Use, Refresh and Run. Safe for concurrent use.
type Names struct {
	cfg  NamesConfig
	ids  atomic.Pointer[idSnapshot]
	wake chan struct{}
	// kicked is when Kick last did something, in nanoseconds since 1970.
	kicked atomic.Int64

	mu         sync.Mutex
	entries    map[nameKey]*nameEntry // what is wanted
	generation int                    // of the policy last given to Use
	files      [2]fileStamp           // of passwd and group, as last read
	answered   chan struct{}          // closed and replaced after each round
}

type nameKey struct {
	db   Database
	name string
}

// A nameEntry is what is known of one name.
type nameEntry struct {
	id         uint32
	ok         bool
	fromFile   bool
	err        error // why not ok
	asked      bool  // the last Lookup was answered, one way or the other
	due        time.Time
	delay      time.Duration
	generation int
}

// NewNames returns Names that know numbers only, until Use.
func NewNames(cfg NamesConfig) *Names {
	cfg.Passwd = cmp.Or(cfg.Passwd, "/etc/passwd")
	cfg.Group = cmp.Or(cfg.Group, "/etc/group")
	cfg.Recheck = cmp.Or(cfg.Recheck, 15*time.Second)
	cfg.FirstRetry = cmp.Or(cfg.FirstRetry, time.Second)
	cfg.MaxRetry = cmp.Or(cfg.MaxRetry, time.Minute)
	n := &Names{cfg: cfg, wake: make(chan struct{}, 1), entries: map[nameKey]*nameEntry{}, answered: make(chan struct{})}
	n.ids.Store(&idSnapshot{})
	return n
}

// Owner is the id of perm's owner; not ok while the name does not resolve.
func (n *Names) Owner(perm *Perm) (uid uint32, ok bool) { return n.ids.Load().user(perm.Owner) }

// Group is the id of perm's group; not ok while the name does not resolve.
func (n *Names) Group(perm *Perm) (gid uint32, ok bool) { return n.ids.Load().group(perm.Group) }

// File is who owns a file with that Perm. While a name does not resolve the
// file is root's alone.
func (n *Names) File(perm *Perm) Owned {
	owned, _ := n.ids.Load().file(perm)
	return owned
}

// Dir is who owns a directory with that Perm. While a name does not resolve it
// is root's, and others keep what owner and group have too: one unknown name
// must not close the way to secrets that are not about it.
func (n *Names) Dir(perm *Perm, mode uint32) Owned {
	owned, _ := n.ids.Load().dir(perm, mode)
	return owned
}

// Use makes n resolve the names in p, from the files before it returns, and
// through Lookup once Run gets to it. Names of the policy before stay known
// until the next Use, for requests that are still being decided.
func (n *Names) Use(p *Policy) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.generation++
	p.eachName(func(db Database, name string) {
		key := nameKey{db, name}
		e := n.entries[key]
		if e == nil {
			e = &nameEntry{err: ErrNoSuchName}
			n.entries[key] = e
		}
		e.generation = n.generation
	})
	for key, e := range n.entries {
		if e.generation < n.generation-1 {
			delete(n.entries, key)
		}
	}
	n.readFiles()
	n.poke()
}

// eachName calls each for the users and groups of p that are no numbers,
// some of them more than once.
func (p *Policy) eachName(each func(Database, string)) {
	take := func(db Database, names ...string) {
		for _, name := range names {
			if _, number := parseID(name); !number {
				each(db, name)
			}
		}
	}
	p.eachPerm(func(perm *Perm) {
		take(Users, perm.Owner)
		take(Users, perm.Only.Users...)
		take(Groups, perm.Group)
		take(Groups, perm.Only.Groups...)
	})
}

// eachPerm calls each once for every Perm of p.
func (p *Policy) eachPerm(each func(*Perm)) {
	done := map[*Perm]bool{}
	take := func(perm *Perm) {
		if !done[perm] {
			done[perm] = true
			each(perm)
		}
	}
	take(p.Default)
	for i := range p.Secrets {
		take(p.Secrets[i].Perm)
	}
	for i := range p.Dirs {
		take(p.Dirs[i].Perm)
	}
}

// Refresh reads the files again, and makes Run ask for every other name now.
func (n *Names) Refresh() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.readFiles()
	for _, e := range n.entries {
		if !e.fromFile {
			e.asked, e.due, e.delay = false, time.Time{}, 0
		}
	}
	n.poke()
}

// Kick makes Run try unresolved names earlier than it would, as soon as
// FirstRetry after the last attempt. It does not block: a handler that met such
// a name calls it, and one that is called all the time keeps Run from nothing.
func (n *Names) Kick() {
	now := time.Now().UnixNano()
	if last := n.kicked.Load(); now-last > int64(minRecheck) && n.kicked.CompareAndSwap(last, now) {
		n.poke()
	}
}

func (n *Names) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Settle waits until Lookup has answered once for every name that needs it, or
// ctx ends. It needs Run.
func (n *Names) Settle(ctx context.Context) {
	for {
		n.mu.Lock()
		settled, next := n.settled(), n.answered
		n.mu.Unlock()
		if settled {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Names) settled() bool {
	for _, e := range n.entries {
		if !e.fromFile && !e.asked && n.cfg.Lookup != nil {
			return false
		}
	}
	return true
}

// An UnresolvedName is one that the files and the name service do not know.
type UnresolvedName struct {
	Database Database
	Name     string
	Err      error
}

// Unresolved lists, sorted, the names of the policy in use without an id.
func (n *Names) Unresolved() []UnresolvedName {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []UnresolvedName
	for key, e := range n.entries {
		if !e.ok && e.generation == n.generation {
			list = append(list, UnresolvedName{key.db, key.name, e.err})
		}
	}
	slices.SortFunc(list, func(a, b UnresolvedName) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Name, b.Name))
	})
	return list
}
