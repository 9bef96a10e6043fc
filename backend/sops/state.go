package sops

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// stateMark begins a saved state; it changes with the layout.
const stateMark = "secretfs sops 2\n"

// stateHead is what stands before the file.
const stateHead = len(stateMark) + 8

// A saved state is what the next process needs to go on where this one ended:
// the last good version, decrypted without anybody's help, and since when it has
// been the last. Beside the data key that is
//
//	mark, since (Unix nanoseconds, 0 if it is the newest) uint64, file
type saved struct {
	since   time.Time
	dataKey *secret.Value
	file    []byte
}

// decodeState shares the key, and gives nil if there is nothing of use.
func decodeState(l backend.Legacy) *saved {
	if l.Keys.Len() == 0 || len(l.Rest) < stateHead || !bytes.HasPrefix(l.Rest, []byte(stateMark)) {
		return nil
	}
	s := &saved{dataKey: l.Keys.Share(), file: l.Rest[stateHead:]}
	if since := int64(binary.BigEndian.Uint64(l.Rest[len(stateMark):])); since != 0 {
		s.since = time.Unix(0, since)
	}
	return s
}

func encodeState(s *saved) backend.Legacy {
	var since uint64
	if !s.since.IsZero() {
		since = uint64(s.since.UnixNano())
	}
	rest := append(make([]byte, 0, stateHead+len(s.file)), stateMark...)
	rest = binary.BigEndian.AppendUint64(rest, since)
	return backend.Legacy{Keys: s.dataKey.Share(), Rest: append(rest, s.file...)}
}

// restore serves what another process served, before anything is read. It is
// verified again: the price is small, and the state was out of our hands.
func (b *Backend) restore(l *load) {
	b.mu.Lock()
	s := b.saved
	b.saved = nil
	b.mu.Unlock()
	if s == nil {
		return
	}
	doc, err := Parse(s.file, b.cfg.Format)
	if err == nil {
		err = doc.Unlock(s.dataKey)
	}
	if err != nil {
		s.dataKey.Destroy()
		return
	}
	b.mu.Lock()
	if b.ctx.Err() != nil {
		s.dataKey.Destroy()
		b.mu.Unlock()
		return
	}
	b.good, b.since = &edition{doc: doc, dataKey: s.dataKey}, s.since
	b.mu.Unlock()
	l.use()
	b.publish(l, doc)
}

// save hands out the state.
func (b *Backend) save() {
	if b.cfg.Save == nil {
		return
	}
	b.mu.Lock()
	if b.good == nil {
		b.mu.Unlock()
		return
	}
	s := saved{dataKey: b.good.dataKey, file: b.good.doc.index.file}
	if b.err != nil {
		s.since = b.since
	}
	state := encodeState(&s)
	b.mu.Unlock()
	b.cfg.Save(state)
}
