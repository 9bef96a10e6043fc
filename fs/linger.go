package fs

import (
	"sync"
	"time"

	"github.com/secretfs/secretfs/fs/table"
)

// A lingerer calls expire for nodes some time after they went idle: one
// goroutine for all, because there can be thousands.
type lingerer struct {
	mu   sync.Mutex
	due  map[table.NodeID]time.Time
	quit chan struct{}
}

func (l *lingerer) start(expire func(table.NodeID)) {
	l.due, l.quit = make(map[table.NodeID]time.Time), make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-l.quit:
				return
			case now := <-tick.C:
				for _, id := range l.take(now) {
					expire(id)
				}
			}
		}
	}()
}

func (l *lingerer) stop() { close(l.quit) }

// schedule has id expire after d, counted anew.
func (l *lingerer) schedule(id table.NodeID, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due[id] = time.Now().Add(d)
}

func (l *lingerer) take(now time.Time) (ids []table.NodeID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, at := range l.due {
		if !now.Before(at) {
			ids = append(ids, id)
			delete(l.due, id)
		}
	}
	return ids
}
