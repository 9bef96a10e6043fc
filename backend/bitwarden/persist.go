package bitwarden

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/bitwarden/vault"
	"github.com/secretfs/secretfs/backend/secret"
)

// The files in the state directory.
const (
	sessionFile = "session.json"
	vaultFile   = "vault.json"
)

// copyAgain is how old the time in the copy of an unchanged vault may become.
const copyAgain = 24 * time.Hour

// restoreSession takes up, once, what another process has left: the last worker,
// or the one before a reboot. It is called with the turn.
func (b *Backend) restoreSession() {
	if b.session.device != "" {
		return
	}
	b.restoreState()
	if b.session.device == "" {
		b.restoreDisk()
	}
	if b.session.device == "" {
		b.session.device = newDevice(b.cfg.mark())
		b.saveSession() // before the server sees it
	}
}

// restoreState takes up what the last worker has left.
func (b *Backend) restoreState() {
	l := b.saved
	b.saved = backend.Legacy{}
	text, copied, ok := unpack(l.Rest)
	if !ok {
		l.Keys.Destroy()
		return
	}
	var user *enc.Key
	if l.Keys.Len() > 0 {
		var err error
		if user, err = enc.NewKey(l.Keys); err != nil {
			return
		}
	} else {
		l.Keys.Destroy()
	}
	names, err := b.session.restore(text, user)
	if err != nil {
		b.log.Info("the state of the last process is not used", "reason", err)
		return
	}
	b.versions.restore(names)
	if user != nil && len(copied) > 0 {
		b.openCopy(copied, false)
	}
}

func (b *Backend) restoreDisk() {
	text := b.load(sessionFile)
	if text == nil {
		return
	}
	names, err := b.session.restore(text, nil)
	if err != nil {
		b.log.Warn("the session in the state directory is not used", "reason", err)
		return
	}
	b.versions.restore(names)
}

// load reads from the state directory, if there is something to read.
func (b *Backend) load(name string) []byte {
	if b.env.Disk == nil {
		return nil
	}
	data, err := b.env.Disk.Load(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("reading the state directory", "error", err)
	}
	return data
}

// unlockCopy opens, without the server, what is known of the account, and the
// copy of its vault. What the server says later counts more. It is called with
// the turn.
func (b *Backend) unlockCopy(ctx context.Context) error {
	s := b.session
	if s.user == nil {
		if s.tokens.Account.WrappedKey == "" {
			return b.hasPassword(ctx)
		}
		err := s.unlock(ctx)
		switch {
		case errors.As(err, new(*refusedBefore)) && b.pausing():
			return err
		case errors.Is(err, backend.ErrRejected): // it may have been changed
			b.log.Info("what is known of the account does not open", "error", err)
			return nil
		case err != nil:
			return err
		}
		s.unseal()
	}
	if !b.hasVault() {
		if copied := b.load(vaultFile); copied != nil {
			b.openCopy(copied, true)
		}
	}
	return nil
}

// hasPassword spares the server a login that leads to nothing.
func (b *Backend) hasPassword(ctx context.Context) error {
	v, err := b.purse.get(ctx, b.cfg.Password)
	v.Destroy()
	return err
}

// openCopy takes up a copy of the vault; a damaged one is ignored.
func (b *Backend) openCopy(copied []byte, offline bool) {
	head, raw, err := readCopy(copied, b.cfg.mark(), b.session.user)
	if err != nil {
		b.log.Warn("the copy of the vault is not used", "reason", err)
		return
	}
	v, err := vault.Open(raw, b.session.user)
	if err != nil {
		b.log.Warn("the copy of the vault is not used", "reason", err)
		return
	}
	// Whether it is the newest is for the server to say. Where it cannot be
	// asked, the age counts from when it last was.
	b.accept(v, head, offline)
}

// save leaves session and vault to whoever comes after us. It is called with the
// turn, after changes.
func (b *Backend) save() { b.saveBoth(true) }

// saveSession does where only the session has changed.
func (b *Backend) saveSession() { b.saveBoth(false) }

// saveBoth writes the session and, to the disk only if it has changed, the copy of
// the vault. That is many megabytes: both go into one piece of memory.
func (b *Backend) saveBoth(changed bool) {
	text, err := b.session.keep(b.versions.all())
	if err != nil {
		b.log.Warn("keeping the session", "error", err)
		return
	}
	packed, synced := b.pack(text)
	session, copied, _ := unpack(packed)
	b.store(sessionFile, session)
	if changed && len(copied) > 0 {
		b.store(vaultFile, copied)
		b.copied = synced
	}
	if save := b.env.State.Save; save != nil {
		var keys *secret.Value
		if b.session.user != nil {
			keys = b.session.user.Encoded().Share()
		}
		save(backend.Legacy{Keys: keys, Rest: packed})
	}
}

// dropState leaves nothing to the next worker.
func (b *Backend) dropState() {
	if save := b.env.State.Save; save != nil {
		save(backend.Legacy{})
	}
}

func (b *Backend) store(name string, data []byte) {
	if b.env.Disk == nil {
		return
	}
	if err := b.env.Disk.Save(name, data); err != nil {
		b.log.Warn("writing the state directory", "error", err)
	}
}

// pack puts a session and a copy of the vault, if there is one, behind the length
// of the session.
func (b *Backend) pack(session []byte) (packed []byte, synced time.Time) {
	b.vaultMu.RLock()
	defer b.vaultMu.RUnlock()
	there := b.vault != nil && b.session.user != nil
	n := 4 + len(session)
	if there {
		n += maxHead + len(b.vault.Raw())
	}
	packed = binary.BigEndian.AppendUint32(make([]byte, 0, n), uint32(len(session)))
	packed = append(packed, session...)
	if !there {
		return packed, synced
	}
	whole, err := appendCopy(packed, b.head, b.vault.Raw(), b.session.user)
	if err != nil {
		b.log.Warn("copying the vault", "error", err)
		return packed, synced
	}
	return whole, b.head.Synced
}

func unpack(b []byte) (session, copied []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
