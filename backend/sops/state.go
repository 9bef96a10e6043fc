package sops

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// stateMark begins a saved state; it changes with the layout.
const stateMark = "secretfs sops 4\n"

// A saved state is what the next process needs to go on where this one ended:
// the last good version, decrypted without anybody's help, and since when it has
// been the last. The file, which may be large, is the part that is not secret, as
// it is; the other part has
//
//	mark, source, since (Unix nanoseconds, 0 if it is the newest) uint64, data key
//
// Two parts of different states do not pass for one: the MAC is checked again.
type saved struct {
	since   time.Time
	dataKey *secret.Value
	file    []byte
}

// source tells whose state it is: a changed policy may give the backend's name to
// another file.
func (c *Config) source() string { return string(c.Format) + " " + c.File + "\x00" }

// decodeState gives nil if there is nothing of use.
func decodeState(l backend.Legacy, source string) *saved {
	rest, ours := bytes.CutPrefix(l.Keys.Bytes(), []byte(stateMark+source))
	if !ours || len(rest) < 8 || len(l.Rest) == 0 {
		return nil
	}
	key, err := secret.New(len(rest) - 8)
	if err != nil {
		return nil
	}
	copy(key.Bytes(), rest[8:])
	s := &saved{dataKey: key, file: l.Rest}
	if since := int64(binary.BigEndian.Uint64(rest)); since != 0 {
		s.since = time.Unix(0, since)
	}
	return s
}

func encodeState(s *saved, source string) (backend.Legacy, error) {
	head := stateMark + source
	v, err := secret.New(len(head) + 8 + s.dataKey.Len())
	if err != nil {
		return backend.Legacy{}, err
	}
	rest := v.Bytes()[copy(v.Bytes(), head):]
	if !s.since.IsZero() {
		binary.BigEndian.PutUint64(rest, uint64(s.since.UnixNano()))
	}
	copy(rest[8:], s.dataKey.Bytes())
	return backend.Legacy{Keys: v, Rest: s.file}, nil
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
	state, err := encodeState(&s, b.cfg.source())
	b.mu.Unlock()
	if err == nil { // without locked memory the next process starts afresh
		b.cfg.Save(state)
	}
}
