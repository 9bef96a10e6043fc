package bws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// saveAfter is how long changes are collected before they are kept.
const saveAfter = 200 * time.Millisecond

// A saved is what is kept for the next process, and on disk: ciphertext, and what
// says how old it is.
type saved struct {
	Source       string // the place it came from
	Org, Account string
	Expires      time.Time // of the session
	KeyLen       int       // of the organisation's key; the session's token follows it in Legacy.Keys
	Sealed       string    // the session as on disk
	Secrets      []savedSecret
	Date         time.Time
	Whole        time.Time
	Checked      time.Time
	Offline      bool
}

type savedSecret struct {
	wireSecret
	Versions versions
}

// source names the place, so that nothing is served of another one under the same
// name.
func (b *Backend) source() string {
	s := b.settings
	text, err := json.Marshal([]any{s.API, s.Identity, s.AccessToken})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// saving keeps the state after changes, until the backend is closed.
func (b *Backend) saving() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.dirty:
		}
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(saveAfter):
		}
		if save := b.env.State.Save; save != nil {
			if l, err := b.legacy(); err == nil { // else the next process logs in
				save(l)
			}
		}
		b.writeDisk()
	}
}

// touch has the state kept soon.
func (b *Backend) touch() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// collect is what is known; ok is false if that is nothing whole. mu is held.
func (b *Backend) collect() (state saved, ok bool) {
	if b.session == nil || b.vault == nil || !b.session.key.Encoded().Equal(b.vault.key.Encoded()) {
		return state, false
	}
	state = saved{
		Source: b.source(), Org: b.session.org, Account: b.vault.account, Expires: b.session.expires,
		KeyLen: b.session.key.Encoded().Len(), Sealed: b.sealed, Date: b.date, Whole: b.whole, Checked: b.checked, Offline: b.offline,
	}
	for _, it := range b.vault.items {
		state.Secrets = append(state.Secrets, savedSecret{it.wire, it.versions})
	}
	return state, true
}

// legacy is nothing after a lock.
func (b *Backend) legacy() (l backend.Legacy, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	state, ok := b.collect()
	if !ok {
		l.Keys, err = secret.New(0)
		return l, err
	}
	if l.Rest, err = json.Marshal(state); err != nil {
		return l, fmt.Errorf("keeping the session: %w", err)
	}
	key, jwt := b.session.key.Encoded(), b.session.jwt
	if l.Keys, err = secret.New(key.Len() + jwt.Len()); err != nil {
		return l, fmt.Errorf("keeping the session: %w", err)
	}
	n := copy(l.Keys.Bytes(), key.Bytes())
	copy(l.Keys.Bytes()[n:], jwt.Bytes())
	return l, nil
}

// restore takes over what another process has kept. What does not fit together is
// left.
func (b *Backend) restore(l backend.Legacy) {
	var state saved
	if len(l.Rest) == 0 || json.Unmarshal(l.Rest, &state) != nil {
		return
	}
	keys := l.Keys.Bytes()
	if state.Source != b.source() || state.KeyLen <= 0 || state.KeyLen >= len(keys) {
		return
	}
	s, err := newSession(keys[:state.KeyLen], keys[state.KeyLen:])
	if err != nil {
		return
	}
	s.org, s.account, s.expires = state.Org, state.Account, state.Expires
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(s, &state)
}

// newSession copies key and token.
func newSession(key, jwt []byte) (*session, error) {
	k, err := secret.New(len(key))
	if err != nil {
		return nil, err
	}
	copy(k.Bytes(), key)
	s := &session{}
	if s.key, err = enc.NewKey(k); err != nil {
		return nil, err
	}
	if s.jwt, err = secret.New(len(jwt)); err != nil {
		s.key.Destroy()
		return nil, err
	}
	copy(s.jwt.Bytes(), jwt)
	return s, nil
}

// put makes a restored state the one in force. mu is held.
func (b *Backend) put(s *session, state *saved) {
	wires := make([]wireSecret, len(state.Secrets))
	for i, w := range state.Secrets {
		wires[i] = w.wireSecret
	}
	v := newVault(&session{key: s.key, account: state.Account}, wires, nil)
	for _, w := range state.Secrets {
		if it := v.items[w.ID]; it != nil {
			it.versions = w.Versions
		}
	}
	b.session, b.vault, b.sealed = s, v, state.Sealed
	b.date, b.whole, b.checked, b.offline = state.Date, state.Whole, state.Checked, state.Offline
	b.early = earliness()
}
