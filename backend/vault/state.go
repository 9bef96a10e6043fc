package vault

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A savedState is what the next process is to know. What is secret of it lies beside
// it in the same order: the key of digests, the token, what a wrapping token held,
// the answers.
type savedState struct {
	Mark    []byte // the server and the login that all of it is of
	Session *savedSession
	Inner   int // length in bytes
	Mounts  []mount
	Leases  []savedLease
}

type savedSession struct {
	Accessor    string
	Policies    []string
	Ours, Known bool
	Span        span
	Len         int
}

type savedLease struct {
	Request, ID, Session string
	Version              backend.Version
	Span                 span
	Len                  int
}

// mark tells what was granted by another server, or to somebody else.
func (b *Backend) mark() []byte {
	place, err := json.Marshal([]any{b.cfg.Address, b.cfg.Namespace, b.cfg.Auth, b.cfg.CertFile})
	if err != nil {
		place = []byte(rand.Text()) // fits nothing
	}
	sum := sha256.Sum256(place)
	return sum[:]
}

// save leaves the state to the next process. It returns once that has it: what was
// granted must not be lost.
func (b *Backend) save() {
	if b.cfg.Save == nil {
		return
	}
	b.saving.Lock()
	defer b.saving.Unlock()
	switch l, err := b.state(); {
	case err == nil:
		b.cfg.Save(l)
	case !errors.Is(err, errClosed):
		b.cfg.Log.Warn("keeping tokens and leases for the next process", "error", err)
	}
}

func (b *Backend) state() (l backend.Legacy, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return l, errClosed
	}
	s := savedState{Mark: b.mark(), Inner: b.inner.Len()}
	secrets := [][]byte{b.mac.Bytes()}
	if c := b.current; c != nil {
		s.Session = &savedSession{c.accessor, c.policies, c.ours, c.known, c.span, c.token.Len()}
		secrets = append(secrets, c.token.Bytes())
	}
	secrets = append(secrets, b.inner.Bytes())
	for request, l := range b.leases {
		if l.usable() {
			s.Leases = append(s.Leases, savedLease{request, l.id, l.session, l.version, l.span, l.data.Len()})
			secrets = append(secrets, l.data.Bytes())
		}
	}
	for _, m := range b.mounts {
		s.Mounts = append(s.Mounts, *m)
	}
	var rest bytes.Buffer
	if err := gob.NewEncoder(&rest).Encode(s); err != nil {
		return l, err
	}
	l.Rest = rest.Bytes()
	l.Keys, err = joined(secrets)
	return l, err
}

// joined copies all into one Value.
func joined(parts [][]byte) (*secret.Value, error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	v, err := secret.New(n)
	if err != nil {
		return nil, err
	}
	at := v.Bytes()
	for _, p := range parts {
		at = at[copy(at, p):]
	}
	return v, nil
}

// restore takes over what another process has saved, if it is of the same place,
// and the two parts fit together.
func (b *Backend) restore(l backend.Legacy) error {
	var s savedState
	fits := len(l.Rest) > 0 && gob.NewDecoder(bytes.NewReader(l.Rest)).Decode(&s) == nil &&
		bytes.Equal(s.Mark, b.mark()) && s.size() == l.Keys.Len()
	if !fits {
		return b.fresh()
	}
	p := &parts{rest: l.Keys.Bytes()}
	b.mac = p.take(macLen)
	if c := s.Session; c != nil {
		b.current = &session{token: p.take(c.Len), accessor: c.Accessor, policies: c.Policies, ours: c.Ours, known: c.Known, span: c.Span}
	}
	if s.Inner > 0 {
		b.inner = p.take(s.Inner)
	}
	for _, saved := range s.Leases {
		l := newLease()
		l.data, l.id, l.session, l.version, l.span = p.take(saved.Len), saved.ID, saved.Session, saved.Version, saved.Span
		b.leases[saved.Request] = l
	}
	for _, m := range s.Mounts {
		b.mounts[m.Path] = &m
	}
	if p.err != nil {
		b.wipe()
		b.mac.Destroy()
		return b.fresh()
	}
	if b.current != nil || len(b.leases) > 0 {
		b.wake()
	}
	return nil
}

// fresh begins with nothing.
func (b *Backend) fresh() error {
	key := make([]byte, macLen)
	_, _ = rand.Read(key) // never fails
	var err error
	b.mac, err = secret.From(key)
	return err
}

// size is the length of what is secret, or -1 where that cannot be.
func (s *savedState) size() int {
	n := macLen
	lens := []int{s.Inner}
	if s.Session != nil {
		lens = append(lens, s.Session.Len)
	}
	for _, l := range s.Leases {
		lens = append(lens, l.Len)
	}
	for _, l := range lens {
		if l < 0 {
			return -1
		}
		n += l
	}
	return n
}

// parts are taken out of one Value.
type parts struct {
	rest []byte
	err  error
}

func (p *parts) take(n int) *secret.Value {
	v, err := copyOf(p.rest[:n])
	if err != nil {
		p.err = err
		return nil
	}
	p.rest = p.rest[n:]
	return v
}
