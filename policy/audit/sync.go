package audit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// A syncer lets appends that wait for the disk share one fsync(2).
type syncer struct {
	mu      sync.Mutex
	wake    sync.Cond // on mu
	running bool
	done    uint64 // records up to this one are on disk
	// Records after lostAfter up to lost may be missing: after an fsync(2)
	// that fails, the next one says nothing about the same pages (fsync(2)).
	lostAfter, lost uint64
	err             error
}

// ended takes the outcome of an fsync that was begun after record seq was
// written.
func (s *syncer) ended(seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.lostAfter, s.lost, s.err = s.done, seq, err
	}
	s.done = max(s.done, seq)
	s.wake.Broadcast()
}

// commit waits until record seq is on disk. Called without mu.
func (l *Log) commit(seq uint64) error {
	s := &l.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.done < seq {
		if s.running {
			s.wake.Wait()
			continue
		}
		s.running = true
		s.mu.Unlock()
		l.flush()
		s.mu.Lock()
		s.running = false
		s.wake.Broadcast()
	}
	if s.lostAfter < seq && seq <= s.lost {
		return fmt.Errorf("bringing audit log %s to disk: %w", l.cfg.File, s.err)
	}
	return nil
}

// flush is one fsync(2) of all that is written.
func (l *Log) flush() {
	l.mu.Lock()
	f, seq := l.f, l.head.Seq
	l.mu.Unlock()
	if f == nil {
		return // release has synced it
	}
	err := f.Sync()
	if errors.Is(err, os.ErrClosed) {
		return // so it has here
	}
	l.sync.ended(seq, err)
	if err != nil {
		l.cfg.OnError(fmt.Errorf("bringing audit log %s to disk: %w", l.cfg.File, err))
	}
}

// syncEvery is the goroutine of SyncInterval.
func (l *Log) syncEvery() {
	tick := time.NewTicker(l.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if l.Head().Seq > l.sync.reached() {
			l.flush()
		}
	}
}

func (s *syncer) reached() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}
