package fs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/fs/table"
)

// pathLocks are locks by path, so that a path whose backend is slow delays no
// other. What a node carries may be relied on by who shares its lock, and
// changed by who has it alone.
type pathLocks struct {
	mu   sync.Mutex
	held map[table.NodeID]*pathLock // primary node -> its lock, while anybody wants it
}

type pathLock struct {
	primary table.NodeID
	wanted  int           // guarded by pathLocks.mu
	token   chan struct{} // there is one for who has the lock alone
	content sync.RWMutex  // never held for long but with the token
	// slow says that who holds the lock waits for a backend.
	slow atomic.Bool
}

// lookAgain is how often an interrupted waiter looks whether to give up.
const lookAgain = 5 * time.Millisecond

// share takes the lock of primary together with others. It does not wait: while
// somebody has the lock alone it fails.
func (l *pathLocks) share(primary table.NodeID) (*pathLock, bool) {
	p := l.want(primary)
	if !p.content.TryRLock() {
		l.leave(p)
		return nil, false
	}
	return p, true
}

func (l *pathLocks) unshare(p *pathLock) {
	p.content.RUnlock()
	l.leave(p)
}

// lock waits for the lock of primary, to have it alone. Who is interrupted gives up if that can
// take long, and only then: signals that a program hardly knows of, as from Go's
// scheduler, must not make it see EINTR.
func (l *pathLocks) lock(ctx context.Context, primary table.NodeID) (*pathLock, error) {
	p := l.want(primary)
	if err := p.take(ctx); err != nil {
		l.leave(p)
		return nil, err
	}
	p.content.Lock()
	return p, nil
}

func (p *pathLock) take(ctx context.Context) error {
	select {
	case p.token <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.token <- struct{}{}:
		return nil
	case <-ctx.Done():
	}
	for !p.slow.Load() {
		select {
		case p.token <- struct{}{}:
			return nil
		case <-time.After(lookAgain):
		}
	}
	return ctx.Err()
}

func (l *pathLocks) want(primary table.NodeID) *pathLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.held[primary]
	if p == nil {
		p = &pathLock{primary: primary, token: make(chan struct{}, 1)}
		l.held[primary] = p
	}
	p.wanted++
	return p
}

func (l *pathLocks) unlock(p *pathLock) {
	p.slow.Store(false)
	p.content.Unlock()
	<-p.token
	l.leave(p)
}

func (l *pathLocks) leave(p *pathLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.wanted--; p.wanted == 0 {
		delete(l.held, p.primary)
	}
}
