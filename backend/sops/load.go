package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// keyTime bounds one recovery of a data key: somebody may have to type a
	// passphrase or touch a token.
	keyTime = 2 * time.Minute
	// minAgain and maxAgain bound the pause between attempts on a file that
	// has not changed.
	minAgain, maxAgain = time.Second, 30 * time.Second
	// maxStuck is how many readers that hang are given up in favour of
	// another one. Each costs a thread.
	maxStuck = 4
)

// A load is one attempt to read the file.
type load struct {
	begun   time.Time
	done    chan struct{} // closed at the end
	indexed chan struct{} // closed once Stat and List can be answered
	usable  chan struct{} // closed once Get can be answered
	index   func()        // closes indexed, once
	use     func()        // closes usable, once
	late    *time.Timer   // calls overdue

	// Guarded by Backend.mu. A reader that hangs is given up for another one:
	// only the last one may go on once it has read the file.
	reader  int
	hasRead bool
}

func newLoad() *load {
	l := &load{begun: time.Now(), done: make(chan struct{}), indexed: make(chan struct{}), usable: make(chan struct{})}
	l.index = sync.OnceFunc(func() { close(l.indexed) })
	l.use = sync.OnceFunc(func() { close(l.usable) })
	return l
}

// due begins a load if it is time for one, and gives the one under way. mu is
// held.
func (b *Backend) due() *load {
	b.asked = true
	if b.load != nil || b.ctx.Err() != nil || time.Since(b.checked) < recheck {
		return b.load
	}
	return b.start()
}

// start begins a load if none is under way. mu is held.
func (b *Backend) start() *load {
	if b.load == nil {
		l := newLoad()
		l.late = time.AfterFunc(firstLoad, func() { b.overdue(l) })
		b.load = l
		go b.run(l, 0)
	}
	return b.load
}

// overdue counts a file that does not open as one that cannot be used, although
// its reader is still waiting: else the last good version would be served for
// ever, and as if it were the newest.
func (b *Backend) overdue(l *load) {
	b.mu.Lock()
	if b.load != l || l.hasRead || b.ctx.Err() != nil {
		b.mu.Unlock()
		return
	}
	b.err = b.slow()
	if b.since.IsZero() {
		b.since = l.begun
	}
	changed := b.changed
	b.mu.Unlock()
	b.save()
	if changed != nil {
		changed()
	}
}

// restart is start for when there is reason to think that the file has changed:
// stamps and pauses do not count, and a reader that hangs is given up. mu is held.
func (b *Backend) restart() *load {
	b.tried, b.again = stamps{}, 0
	l := b.load
	if l == nil {
		return b.start()
	}
	switch left := recheck - time.Since(l.begun); {
	case l.hasRead:
		b.stale = true
	case left >= 0: // it may be quick yet
		reader := l.reader
		time.AfterFunc(left+1, func() { b.relieve(l, reader) })
	case b.stuck < maxStuck:
		b.stuck++
		l.reader++
		go b.run(l, l.reader)
	}
	return l
}

// relieve restarts l if that reader of it still hangs: what it waits for may not be
// what lies there now, and nobody says so again.
func (b *Backend) relieve(l *load, reader int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.load == l && l.reader == reader && !l.hasRead && b.ctx.Err() == nil {
		b.restart()
	}
}

// noticed is called when the file or a key file may have changed.
func (b *Backend) noticed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked && b.ctx.Err() == nil {
		b.restart()
	}
}

// run is one reader of a load.
func (b *Backend) run(l *load, reader int) {
	b.restore(l)
	b.watching()
	now := takeStamps(b.cfg.File, b.cfg.KeyFiles)
	settled := b.settled(now)
	var file []byte
	var err error
	if !settled {
		file, err = readFile(b.cfg.File)
	}
	switch {
	case b.givenUp(l, reader):
		return
	case settled:
		b.finish(l, func() {})
	case err != nil:
		b.failed(l, now, err, false)
	default:
		b.loaded(l, now, file)
	}
}

// givenUp is asked by a reader once it has what it wanted.
func (b *Backend) givenUp(l *load, reader int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reader != l.reader {
		b.stuck--
		return true
	}
	l.hasRead = true
	return false
}

// settled says that trying again would end as it did last time.
func (b *Backend) settled(now stamps) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now != b.tried {
		return false
	}
	return b.err == nil || errors.Is(b.err, backend.ErrCorrupt) || time.Since(b.attempt) < b.again
}

// loaded makes an edition of the bytes of the file.
func (b *Backend) loaded(l *load, now stamps, file []byte) {
	b.mu.Lock()
	good := b.good
	b.mu.Unlock()
	if good != nil && bytes.Equal(good.doc.index.file, file) {
		b.finish(l, func() { b.accept(good, now) })
		return
	}
	doc, err := Parse(file, b.cfg.Format)
	if err != nil {
		b.failed(l, now, err, false)
		return
	}
	if good == nil {
		b.publish(l, doc)
	}
	key, err := b.dataKey(doc, good)
	if err != nil {
		b.failed(l, now, err, true)
		return
	}
	if err := doc.Unlock(key); err != nil {
		key.Destroy()
		b.failed(l, now, err, false)
		return
	}
	if !b.finish(l, func() { b.accept(&edition{doc: doc, dataKey: key}, now) }) {
		key.Destroy()
		return
	}
	b.save()
}

// dataKey recovers the data key. One that is wrapped as before is the one from
// before: nobody has to touch a token again.
func (b *Backend) dataKey(doc *Document, good *edition) (*secret.Value, error) {
	if good != nil && reflect.DeepEqual(good.doc.Keys(), doc.Keys()) {
		if key, err := b.copyKey(good); err == nil {
			return key, nil
		}
	}
	if b.isLocked() {
		return nil, errLocked
	}
	ctx, cancel := context.WithTimeout(b.ctx, keyTime)
	defer cancel()
	return b.cfg.Keys.DataKey(ctx, doc.Keys())
}

// copyKey copies the data key of e, which Close may destroy at any time.
func (b *Backend) copyKey(e *edition) (*secret.Value, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.dataKey.Len() == 0 {
		return nil, errClosed
	}
	key, err := secret.New(e.dataKey.Len())
	if err == nil {
		copy(key.Bytes(), e.dataKey.Bytes())
	}
	return key, err
}

// publish serves the index of a file that is not decrypted yet.
func (b *Backend) publish(l *load, doc *Document) {
	b.mu.Lock()
	b.index = doc
	changed := b.changed
	b.mu.Unlock()
	l.index()
	if changed != nil {
		changed()
	}
}

// accept serves e. mu is held.
func (b *Backend) accept(e *edition, now stamps) {
	if old := b.good; old != nil && old != e {
		old.dataKey.Destroy()
	}
	b.good, b.index, b.err, b.since, b.tried, b.again = e, e.doc, nil, time.Time{}, now, 0
}

// failed keeps the last good version. Without one there is an index only if no
// more than the key is wrong: names in a forged file are forged too.
func (b *Backend) failed(l *load, now stamps, err error, keyWrong bool) {
	err = b.named(err)
	first := false
	b.finish(l, func() {
		if first = b.err == nil; first && b.since.IsZero() {
			b.since = time.Now()
		}
		if b.good == nil && !keyWrong {
			b.index = nil
		}
		b.err, b.tried, b.attempt = err, now, time.Now()
		b.again = min(max(minAgain, 2*b.again), maxAgain)
	})
	if first {
		b.save()
	}
}

// finish ends l, and tells whoever wants to know if set has changed anything. It
// does not call set once the backend is closed.
func (b *Backend) finish(l *load, set func()) (open bool) {
	b.mu.Lock()
	index, err := b.index, b.err
	if open = b.ctx.Err() == nil; open {
		set()
	}
	if b.locked {
		b.forget()
	}
	changed := b.changed
	if index == b.index && fmt.Sprint(err) == fmt.Sprint(b.err) {
		changed = nil
	}
	b.checked, b.load = time.Now(), nil
	l.late.Stop()
	if b.stale {
		b.stale = false
		b.tried = stamps{}
		b.start()
	}
	b.mu.Unlock()
	l.index()
	l.use()
	close(l.done)
	if changed != nil {
		changed()
	}
	return open
}
