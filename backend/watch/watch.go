// Package watch tells a backend when files may have changed: written in place,
// replaced, removed or made, through whatever symbolic links. It is the part of
// inotify(7) that every driver with files needs.
package watch

import (
	"maps"
	"sync"
	"time"
)

// Debounce is how long a change is waited out: editors and installers touch a
// file several times in a row.
const Debounce = 50 * time.Millisecond

// A Watch is one backend's interest in some files. Its methods are safe for
// concurrent use.
type Watch struct {
	noticed func()

	mu    sync.Mutex
	files map[string]bool // path -> whether it is a directory, all of which matters
	added int             // how often there were new ones

	kick chan struct{} // something happened
	done chan struct{} // closed by Close
	once sync.Once
}

// New has noticed called some time after one of the files that are added has
// changed, from a goroutine of its own. Whoever owns the Watch closes it.
func New(noticed func()) *Watch {
	w := &Watch{noticed: noticed, files: map[string]bool{}, kick: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Add watches files, which need not exist. Their places are watched when it
// returns, as far as they can be. It may block as long as the filesystems of
// these files do.
func (w *Watch) Add(files ...string) { w.add(false, files) }

// AddDirs is Add for directories and everything directly in them.
func (w *Watch) AddDirs(dirs ...string) { w.add(true, dirs) }

func (w *Watch) add(dir bool, files []string) {
	var fresh []string
	w.mu.Lock()
	for _, file := range files {
		if known, ok := w.files[file]; !ok || dir && !known {
			w.files[file] = dir
			fresh = append(fresh, file)
			w.added++
		}
	}
	w.mu.Unlock()
	p := places{}
	for _, file := range fresh {
		p.trace(file, dir)
	}
	if len(p) > 0 {
		events.watch(w, p, false)
	}
}

// again watches what decides about the files of w now. What is added meanwhile
// must not get lost.
func (w *Watch) again() {
	for {
		w.mu.Lock()
		files, added := maps.Clone(w.files), w.added
		w.mu.Unlock()
		p := places{}
		for file, dir := range files {
			p.trace(file, dir)
		}
		events.watch(w, p, true)
		w.mu.Lock()
		same := added == w.added
		w.mu.Unlock()
		if same {
			return
		}
	}
}

func (w *Watch) run() {
	for {
		select {
		case <-w.done:
			return
		case <-w.kick:
		}
		select {
		case <-w.done:
			return
		case <-time.After(Debounce):
		}
		select { // what came meanwhile is the same change
		case <-w.kick:
		default:
		}
		// A new directory may have come before its watch: then what is in it
		// is read now, and what comes later is seen.
		w.again()
		w.noticed()
	}
}

// Close ends the calls of noticed.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	w.once.Do(func() {
		close(w.done)
		events.watch(w, nil, true)
	})
}

// wake never blocks.
func (w *Watch) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Stats tells how many Watches this process has that watch anything, and how
// many directories they watch.
func Stats() (watches, dirs int) {
	events.mu.Lock()
	defer events.mu.Unlock()
	return len(events.where), len(events.dirs)
}
