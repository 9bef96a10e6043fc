package fs

import (
	"context"
	"sync"

	"github.com/secretfs/secretfs/fs/table"
)

// pathLocks are locks by path, so that a path whose backend is slow delays no
// other, and whoever waits for one can be interrupted.
type pathLocks struct {
	mu   sync.Mutex
	held map[table.NodeID]*pathLock // primary node -> its lock, while anybody wants it
}

type pathLock struct {
	wanted int
	token  chan struct{}
}

// lock waits for the lock of primary. The caller calls unlock.
func (l *pathLocks) lock(ctx context.Context, primary table.NodeID) (unlock func(), err error) {
	l.mu.Lock()
	p := l.held[primary]
	if p == nil {
		p = &pathLock{token: make(chan struct{}, 1)}
		l.held[primary] = p
	}
	p.wanted++
	l.mu.Unlock()
	select {
	case p.token <- struct{}{}:
		return func() {
			<-p.token
			l.leave(primary, p)
		}, nil
	default:
	}
	select {
	case p.token <- struct{}{}:
		return func() {
			<-p.token
			l.leave(primary, p)
		}, nil
	case <-ctx.Done():
		l.leave(primary, p)
		return nil, ctx.Err()
	}
}

func (l *pathLocks) leave(primary table.NodeID, p *pathLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.wanted--; p.wanted == 0 {
		delete(l.held, primary)
	}
}
