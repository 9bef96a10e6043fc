package worker

import (
	"context"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// changes collects the names of backends that have changed, so that a burst
// is told once and never from the goroutine that noticed it.
type changes struct {
	mu    sync.Mutex
	names map[string]bool // backends
	all   bool            // every backend
	ids   bool            // what user and group names mean
	wake  chan struct{}
}

func (c *changes) addNames() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init()
	c.ids = true
	c.poke()
}

func (c *changes) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init()
	c.names[name] = true
	c.poke()
}

func (c *changes) addAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init()
	c.all = true
	c.poke()
}

func (c *changes) init() {
	if c.names == nil {
		c.names, c.wake = make(map[string]bool), make(chan struct{}, 1)
	}
}

func (c *changes) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) run(ctx context.Context, tell func(changed)) {
	c.mu.Lock()
	c.init()
	wake := c.wake
	c.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		c.mu.Lock()
		now := changed{names: c.names, all: c.all, ids: c.ids}
		c.names, c.all, c.ids = make(map[string]bool), false, false
		c.mu.Unlock()
		tell(now)
	}
}

// changed is what has changed since it was told last.
type changed struct {
	names    map[string]bool
	all, ids bool
}

// touchBatch is how many paths are touched while the superblock is writable.
const touchBatch = 64

// tell lets the kernel and inotify watchers know what has changed.
func (w *worker) tell(c changed) {
	if c.ids {
		w.keepBytes(keptNames, w.names.Save())
		w.fs.Reconfigured()
	}
	if c.all {
		for _, r := range w.gate.View().Backends.All() {
			c.names[r.Name()] = true
		}
	}
	w.say(c.names)
	var paths []string
	for name := range c.names {
		paths = append(paths, w.fs.Changed(name)...)
	}
	if w.ground.System {
		w.fs.Tell(paths, w.touch)
	}
}

func (w *worker) touch(paths []string) error {
	for len(paths) > 0 {
		n := min(len(paths), touchBatch)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := w.link.Touch(ctx, paths[:n])
		cancel()
		if err != nil {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

// warm has every backend make its index in the background, and list what the
// policy shows of it, so that names and sizes are true when somebody first looks.
func (w *worker) warm() {
	view := w.gate.View()
	list := func(r *backend.Resolver, key string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// Whoever asks for a secret is told what is wrong.
		_, _ = r.List(ctx, key)
	}
	for _, r := range view.Backends.All() {
		go list(r, "")
	}
	for _, d := range view.Policy.Dirs {
		if r, ok := view.Backends.Lookup(d.Backend); ok {
			go list(r, d.Key)
		}
	}
}
