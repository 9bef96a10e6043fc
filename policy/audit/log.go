package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The values of Config.Sync.
const (
	SyncNone     = "none"     // the kernel writes back when it likes: a power cut loses the last seconds
	SyncInterval = "interval" // fsync(2) every Interval
	SyncAlways   = "always"   // fsync(2) before Append returns; concurrent ones share it
)

// A Config says where a Log goes.
type Config struct {
	File     string
	Sync     string        // SyncNone if empty
	Interval time.Duration // for SyncInterval
	// Journal, if not nil, is a second sink that never makes Append wait.
	Journal *JournalConfig
	// OnError is told what a person should know: that records cannot be
	// written (once, then once a minute), that a torn line was set aside, that
	// somebody shortened the file. It is called from Append too, so that it
	// must not block.
	OnError func(error)
}

// lookEvery is how often Append looks whether the file was renamed away.
const lookEvery = time.Second

// sayEvery is how often a failure that lasts is told again.
const sayEvery = time.Minute

// A Log is an audit log open for appending. It is safe for concurrent use; two
// Logs on one file are meant only for the moment in which a worker replaces
// another. What the file can prove has limits: whoever may write to it can build
// a whole new chain, and cutting off its end shows only to who knows the Head.
// The journal, or any copy elsewhere, gives that.
type Log struct {
	cfg     Config
	journal *journal // nil without one
	sync    syncer
	stop    chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	f      *os.File // nil while none can be opened
	id     fileID
	size   int64 // of f after the last write of this Log
	head   Head
	buf    []byte
	looked time.Time
	err    error // why the last Append failed
	said   time.Time
	notes  []error // for OnError once mu is free
}

// Open begins to append to cfg.File, after the record that was written last,
// before a rotation or a restart too. The error tells of a wrong Config only: a
// file that cannot be opened now makes each Append fail, until it can. Err tells.
func Open(cfg Config) (*Log, error) {
	if cfg.Sync == "" {
		cfg.Sync = SyncNone
	}
	switch {
	case cfg.File == "":
		return nil, errors.New("opening the audit log: no file given")
	case cfg.Sync != SyncNone && cfg.Sync != SyncInterval && cfg.Sync != SyncAlways:
		return nil, fmt.Errorf("opening audit log %s: sync %q is not none, interval or always", cfg.File, cfg.Sync)
	case cfg.Sync == SyncInterval && cfg.Interval <= 0:
		return nil, fmt.Errorf("opening audit log %s: interval %s is not positive", cfg.File, cfg.Interval)
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	l := &Log{cfg: cfg, stop: make(chan struct{})}
	l.sync.wake.L = &l.sync.mu
	if cfg.Journal != nil {
		l.journal = newJournal(*cfg.Journal, cfg.OnError)
	}
	if cfg.Sync == SyncInterval {
		l.running.Go(l.syncEvery)
	}
	_ = l.Reopen() // said through OnError
	return l, nil
}

// Append writes r as one line, in one write(2), before it returns, and fills in
// Seq, Prev and, if it is zero, Time. An error wraps ErrNotRecorded; nothing of
// the line is then in the chain, and the next Append tries anew.
func (l *Log) Append(r *Record) error {
	l.mu.Lock()
	err := l.append(r)
	l.settle(err)
	if err == nil && l.cfg.Sync == SyncAlways {
		err = l.commit(r.Seq)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	if l.journal != nil {
		l.journal.offer(r)
	}
	return nil
}

// settle keeps the outcome for Err, unlocks mu and says what there is to say.
func (l *Log) settle(err error) {
	if err != nil && (l.err == nil || time.Since(l.said) >= sayEvery) {
		l.notes = append(l.notes, err)
		l.said = time.Now()
	}
	l.err = err
	notes := l.notes
	l.notes = nil
	l.mu.Unlock()
	for _, note := range notes {
		l.cfg.OnError(note)
	}
}

func (l *Log) append(r *Record) error {
	now := time.Now()
	if err := l.prepare(now); err != nil {
		return err
	}
	r.Seq, r.Prev = l.head.Seq+1, l.head.Hash
	if r.Time.IsZero() {
		r.Time = now
	}
	l.buf = appendLine(l.buf[:0], r)
	sum := sha256.Sum256(l.buf)
	l.buf = append(l.buf, '\n')
	if err := l.write(l.buf); err != nil {
		return err
	}
	l.head = Head{Seq: r.Seq, Hash: hex.EncodeToString(sum[:])}
	return nil
}

// write puts line at the end of the file, whole or not at all.
func (l *Log) write(line []byte) error {
	n, err := unix.Write(int(l.f.Fd()), line)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Write(int(l.f.Fd()), line)
	}
	if n == len(line) {
		l.size += int64(n)
		return nil
	}
	if err == nil { // a short write is how a full disk first shows
		err = unix.ENOSPC
	}
	if n > 0 && !l.takeBack(int64(n)) {
		_ = l.release() // opening it anew sets the torn line aside
	}
	return fmt.Errorf("writing audit log %s: %w", l.cfg.File, err)
}

func (l *Log) takeBack(n int64) bool {
	st, err := l.stat()
	return err == nil && st.Size == l.size+n && l.f.Truncate(l.size) == nil
}

// Head is the end of the chain; `audit verify` asks for it, to find a last line
// that was changed or removed.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err is why records cannot be written at present, nil if they can.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.sync.current(); l.err == nil && err != nil {
		return l.notOnDisk(err)
	}
	return l.err
}

// JournalMissed counts the records that did not reach the journal.
func (l *Log) JournalMissed() uint64 {
	if l.journal == nil {
		return 0
	}
	return l.journal.total.Load()
}

// Reopen looks at once whether the file was renamed away, as after SIGHUP.
func (l *Log) Reopen() error {
	l.mu.Lock()
	l.looked = time.Time{}
	err := l.prepare(time.Now())
	l.settle(err)
	return err
}

// Close writes out what is not on disk yet. A later Append fails.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	err := l.release()
	l.settle(nil)
	close(l.stop)
	l.running.Wait()
	if l.journal != nil {
		l.journal.close()
	}
	return err
}
