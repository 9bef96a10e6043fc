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
	failing bool   // the last fsync(2) failed
	said    time.Time
	// Records after lostAfter up to lost may be missing: after an fsync(2)
	// that fails, the next one says nothing about the same pages (fsync(2)).
	lostAfter, lost uint64
	err             error
}

// ended takes the outcome of an fsync(2), begun when records up to from were on
// disk and up to seq were written.
func (s *syncer) ended(from, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err != nil
	if s.failing {
		s.lostAfter, s.lost, s.err = from, seq, err
	}
	s.done = max(s.done, seq)
	s.wake.Broadcast()
}

// current is the error of the last fsync(2).
func (s *syncer) current() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		return nil
	}
	return s.err
}

// quiet says whether a failure was told a short while ago, and if not takes it
// that it will be now.
func (s *syncer) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.said) < sayEvery {
		return true
	}
	s.said = time.Now()
	return false
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
		return l.notOnDisk(s.err)
	}
	return nil
}

func (l *Log) notOnDisk(err error) error {
	return fmt.Errorf("bringing audit log %s to disk: %w", l.cfg.File, err)
}

// flush is one fsync(2) of all that is written.
func (l *Log) flush() {
	l.mu.Lock()
	f, seq := l.f, l.head.Seq
	l.mu.Unlock()
	if f == nil {
		return // release has synced it
	}
	from := l.sync.reached()
	err := f.Sync()
	if errors.Is(err, os.ErrClosed) {
		return // so it has here
	}
	l.sync.ended(from, seq, err)
	if err != nil && !l.sync.quiet() {
		l.cfg.OnError(l.notOnDisk(err))
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
