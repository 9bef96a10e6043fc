package sops

import (
	"slices"
	"sync"
	"time"
)

// debounce is how long a change is waited out: editors and installers touch a
// file several times in a row.
const debounce = 50 * time.Millisecond

// A subscription is one backend's interest in some files.
type subscription struct {
	files   []string
	noticed func()

	kick chan struct{} // something happened
	done chan struct{} // closed by close
	once sync.Once
}

// subscribe has noticed called some time after one of files has changed, from a
// goroutine of its own: written in place, replaced, removed or made, through
// whatever symbolic links. The places are watched when it returns, as far as they
// can be. It may block as long as the filesystems of these files do.
func subscribe(files []string, noticed func()) *subscription {
	s := &subscription{files: files, noticed: noticed, kick: make(chan struct{}, 1), done: make(chan struct{})}
	events.watch(s, s.places())
	go s.run()
	return s
}

// places are all directories that decide about the files of s.
func (s *subscription) places() places {
	p := places{}
	for _, file := range s.files {
		p.trace(file)
	}
	return p
}

func (s *subscription) run() {
	for {
		select {
		case <-s.done:
			return
		case <-s.kick:
		}
		select {
		case <-s.done:
			return
		case <-time.After(debounce):
		}
		select { // what came meanwhile is the same change
		case <-s.kick:
		default:
		}
		// A new directory may have come before its watch: then what is in it
		// is read now, and what comes later is seen.
		events.watch(s, s.places())
		s.noticed()
	}
}

// close ends the calls of noticed.
func (s *subscription) close() {
	if s == nil {
		return
	}
	s.once.Do(func() {
		close(s.done)
		events.watch(s, nil)
	})
}

// wake never blocks.
func (s *subscription) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// places are directories, each with the names in it that matter. A directory
// without names matters because it may be moved away or removed itself.
type places map[string][]string

func (p places) add(dir, name string) {
	if name == "" || slices.Contains(p[dir], name) {
		p[dir] = p[dir][:len(p[dir]):len(p[dir])]
		return
	}
	p[dir] = append(p[dir], name)
}
