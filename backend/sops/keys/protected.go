package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Passphrase is what opens key files that are protected by one. Its funcs are
// nil where there is none.
type Passphrase struct {
	// Get gets it; its error wraps a sentinel of package backend. The caller
	// destroys the Value.
	Get func(ctx context.Context) (*secret.Value, error)
	// Wrong is called when it has opened none of the files.
	Wrong func()
}

// PassphraseOf is the one that s describes.
func PassphraseOf(env backend.Env, s credential.Source) (p Passphrase) {
	if s.Given() && env.Credential != nil {
		p.Get = func(ctx context.Context) (*secret.Value, error) { return env.Credential(ctx, s) }
	}
	if env.Forget != nil {
		p.Wrong = func() { env.Forget(s) }
	}
	return p
}

// A protected key file is one that takes a passphrase to be read.
type protected struct {
	Kind string `json:"kind"` // protectedSSH or protectedAge
	Text []byte `json:"text"` // the file as it is
}

const (
	protectedSSH = "ssh"
	protectedAge = "age"
)

// Use has r open protected key files with p. Call it before anything else.
func (r *Ring) Use(p Passphrase) *Ring {
	r.passphrase = p
	return r
}

// Open opens the key files that take a passphrase, as far as they are not open.
// The error wraps ErrLocked where there is no passphrase, ErrRejected where it
// opens none of them.
func (r *Ring) Open(ctx context.Context) error {
	select {
	case r.opening <- struct{}{}:
		defer func() { <-r.opening }()
	case <-ctx.Done():
		return ctx.Err()
	}
	closed := r.closedFiles()
	if len(closed) == 0 {
		return nil
	}
	if r.passphrase.Get == nil {
		return helper.Refuse(backend.ErrLocked, "%s is protected by a passphrase: say where that comes from, with passphrase: {ask: true} for one", names(closed))
	}
	pass, err := r.passphrase.Get(ctx)
	if err != nil {
		return fmt.Errorf("%s is protected by a passphrase: %w", names(closed), err)
	}
	defer pass.Destroy()
	var causes []error
	for _, f := range closed {
		if err := r.openFile(ctx, f, pass); err != nil {
			causes = append(causes, err)
		}
	}
	if len(causes) < len(closed) {
		return nil
	}
	kind := worst(causes)
	if kind == backend.ErrRejected && r.passphrase.Wrong != nil {
		r.passphrase.Wrong()
	}
	return helper.Refuse(kind, "%s", sentence(nil, causes, nil))
}

// Lock forgets what Open opened.
func (r *Ring) Lock() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.files {
		f.forget()
	}
}

func (r *Ring) closedFiles() (closed []*keyFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.files {
		if f.load(); f.protected != nil {
			closed = append(closed, f)
		}
	}
	return closed
}

func names(files []*keyFile) string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	return strings.Join(paths, " and ")
}

// openFile asks a helper, since deriving a key of a passphrase takes up to a
// gigabyte. A passphrase that was wrong for f is not tried again: whoever reads in
// vain would keep the machine busy.
func (r *Ring) openFile(ctx context.Context, f *keyFile, pass *secret.Value) error {
	r.mu.Lock()
	p, stamp, wrong := f.protected, f.stamp, f.wrong.Equal(pass)
	r.mu.Unlock()
	switch {
	case p == nil:
		return nil
	case wrong:
		return wrongFor(f)
	}
	ask := helper.Ask{Call: backend.HelperCall{Kind: KindPassphrase}, Body: p, Secrets: []*secret.Value{pass}, Limit: maxKeyFile}
	text, err := ask.Do(ctx, r.start)
	if errors.Is(err, backend.ErrRejected) {
		r.mu.Lock()
		defer r.mu.Unlock()
		f.wrong.Destroy()
		f.wrong = pass.Share()
		return wrongFor(f)
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", f.path, err)
	}
	defer text.Destroy()
	m := parseKeyFile(f.path, text.Bytes())
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.stamp == stamp {
		f.open(m)
	}
	return nil
}

func wrongFor(f *keyFile) error {
	return helper.Refuse(backend.ErrRejected, "the passphrase of %s is wrong", f.path)
}

// isPassphraseFile says whether an age file, binary or armored, is encrypted with
// a passphrase.
func isPassphraseFile(b []byte) bool {
	var e eavesdropper
	_, _ = age.Decrypt(dearmored(b), &e) // it has no key
	return e.scrypt
}

type eavesdropper struct{ scrypt bool }

func (e *eavesdropper) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		e.scrypt = e.scrypt || s.Type == "scrypt"
	}
	return nil, age.ErrIncorrectIdentity
}

func dearmored(b []byte) interface{ Read([]byte) (int, error) } {
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("-----BEGIN")) {
		return armor.NewReader(bytes.NewReader(b))
	}
	return bytes.NewReader(b)
}
