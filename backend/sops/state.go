package sops

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// stateMark begins a saved state; it changes with the layout.
const stateMark = "secretfs sops 3\n"

// A saved state is what the next process needs to go on where this one ended:
// the last good version, decrypted without anybody's help, and since when it has
// been the last. Beside the data key that is
//
//	mark, source, since (Unix nanoseconds, 0 if it is the newest) uint64, file
type saved struct {
	since   time.Time
	dataKey *secret.Value
	file    []byte
}

// source tells whose state it is: a changed policy may give the backend's name to
// another file.
func (c *Config) source() string { return string(c.Format) + " " + c.File + "\x00" }

// decodeState shares the key, and gives nil if there is nothing of use.
func decodeState(l backend.Legacy, source string) *saved {
	rest, ours := bytes.CutPrefix(l.Rest, []byte(stateMark+source))
	if l.Keys.Len() == 0 || !ours || len(rest) < 8 {
		return nil
	}
	s := &saved{dataKey: l.Keys.Share(), file: rest[8:]}
	if since := int64(binary.BigEndian.Uint64(rest)); since != 0 {
		s.since = time.Unix(0, since)
	}
	return s
}

func encodeState(s *saved, source string) backend.Legacy {
	var since uint64
	if !s.since.IsZero() {
		since = uint64(s.since.UnixNano())
	}
	rest := append(make([]byte, 0, len(stateMark)+len(source)+8+len(s.file)), stateMark+source...)
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
	state := encodeState(&s, b.cfg.source())
	b.mu.Unlock()
	b.cfg.Save(state)
}
