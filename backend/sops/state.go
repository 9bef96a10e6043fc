package sops

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/secretfs/secretfs/backend/secret"
)

// stateMark begins a saved state; it changes with the layout.
const stateMark = "secretfs sops 1\n"

// A saved state is what the next process needs to go on where this one ended:
// the last good version, decrypted without anybody's help, and since when it has
// been the last.
//
//	mark, since (Unix nanoseconds, 0 if it is the newest) uint64,
//	length of data key uint32, data key, file
type saved struct {
	since   time.Time
	dataKey *secret.Value
	file    []byte
}

// decodeState copies what state holds, and gives nil if that is nothing of use.
func decodeState(state []byte) *saved {
	rest, ok := bytes.CutPrefix(state, []byte(stateMark))
	if !ok || len(rest) < 12 {
		return nil
	}
	since := int64(binary.BigEndian.Uint64(rest))
	n := int(binary.BigEndian.Uint32(rest[8:]))
	if rest = rest[12:]; n > len(rest) {
		return nil
	}
	key, err := secret.New(n)
	if err != nil {
		return nil
	}
	copy(key.Bytes(), rest)
	s := &saved{dataKey: key, file: bytes.Clone(rest[n:])}
	if since != 0 {
		s.since = time.Unix(0, since)
	}
	return s
}

func encodeState(s *saved) (*secret.Value, error) {
	n := s.dataKey.Len()
	v, err := secret.New(len(stateMark) + 12 + n + len(s.file))
	if err != nil {
		return nil, err
	}
	rest := v.Bytes()
	rest = rest[copy(rest, stateMark):]
	if !s.since.IsZero() {
		binary.BigEndian.PutUint64(rest, uint64(s.since.UnixNano()))
	}
	binary.BigEndian.PutUint32(rest[8:], uint32(n))
	copy(rest[12:], s.dataKey.Bytes())
	copy(rest[12+n:], s.file)
	return v, nil
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

// save hands out the state. If there is not enough locked memory for it, the next
// process has to do without.
func (b *Backend) save() {
	if b.cfg.SaveState == nil {
		return
	}
	b.mu.Lock()
	var state *secret.Value
	if b.good != nil {
		s := saved{dataKey: b.good.dataKey, file: b.good.doc.index.file}
		if b.err != nil {
			s.since = b.since
		}
		state, _ = encodeState(&s)
	}
	b.mu.Unlock()
	if state != nil {
		b.cfg.SaveState(state)
	}
}
