// Package credentials goes and gets what opens backends: it follows the links of
// the unlocking chain that package backend/credential decodes. Nothing is kept
// here but what somebody has typed (see Asked): a credential is looked up each
// time that it is needed, so that one which appears later heals.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Chain gets the credentials of one backend. Funcs may be nil: then there are
// no credentials of that kind. It is safe for concurrent use.
type Chain struct {
	// Mount is where the policy's secrets are mounted: a file in there is no
	// file for us, who would have to wait for ourselves.
	Mount string
	// Directory is $CREDENTIALS_DIRECTORY, "" where the service manager has
	// given no credentials.
	Directory string
	// Secret reads another secret of the policy, by its path in the mount.
	Secret func(ctx context.Context, path string) (*secret.Value, error)
	// Run runs a command and gives what it prints.
	Run func(ctx context.Context, argv []string, user string) (*secret.Value, error)
	// Asked is what somebody has typed.
	Asked func(s credential.Source) (*secret.Value, error)
}

// MaxLen is the longest credential in bytes; of a file with several, the length
// of that.
const MaxLen = 1 << 20

// Get gets the credential that s describes, which is never empty; the caller
// destroys it. One newline at the end, which editors and programs put there, is
// not part of it. The error wraps backend.ErrLocked or, where the time was too
// short, backend.ErrTimeout; where ctx was cancelled, context.Canceled.
func (c *Chain) Get(ctx context.Context, s credential.Source) (*secret.Value, error) {
	v, err := c.get(ctx, s)
	if err == nil {
		v, err = trimmed(v)
	}
	switch {
	case err == nil:
		return v, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("getting the %s: %w", s, ctx.Err())
	case ctx.Err() != nil, errors.Is(err, backend.ErrTimeout):
		return nil, fmt.Errorf("getting the %s: %v: %w", s, err, backend.ErrTimeout)
	case errors.Is(err, backend.ErrLocked):
		return nil, fmt.Errorf("getting the %s: %w", s, err)
	}
	// Whatever the kind: it is this backend that is locked.
	return nil, fmt.Errorf("getting the %s: %v: %w", s, err, backend.ErrLocked)
}

func (c *Chain) get(ctx context.Context, s credential.Source) (*secret.Value, error) {
	switch {
	case s.Kind == credential.File:
		return c.file(ctx, s)
	case s.Kind == credential.Systemd:
		return c.systemd(ctx, s.Name)
	case s.Kind == credential.Secret && c.Secret != nil:
		return c.Secret(ctx, s.Name)
	case s.Kind == credential.Command && c.Run != nil:
		return c.Run(ctx, s.Argv, s.User)
	case s.Kind == credential.Ask && c.Asked != nil:
		return c.Asked(s)
	}
	return nil, errors.New("there is no way to get it here")
}

func (c *Chain) file(ctx context.Context, s credential.Source) (*secret.Value, error) {
	if below, ok := strings.CutPrefix(s.Name, filepath.Clean(c.Mount)+"/"); ok && c.Mount != "" {
		return nil, fmt.Errorf("it is a secret of this very policy: write {secret: %s}", below)
	}
	v, err := within(ctx, func() (*secret.Value, error) { return readPrivate(s.Name, ownerOnly) })
	if err != nil || s.Key == "" {
		return v, err
	}
	defer v.Destroy()
	return lineOf(v.Bytes(), s.Key)
}

func (c *Chain) systemd(ctx context.Context, name string) (*secret.Value, error) {
	if c.Directory == "" {
		return nil, fmt.Errorf("the service manager has given none: $CREDENTIALS_DIRECTORY is not set; put LoadCredentialEncrypted=%s into the unit that runs secretfs mount", name)
	}
	v, err := within(ctx, func() (*secret.Value, error) {
		return readPrivate(filepath.Join(c.Directory, name), notOthers)
	})
	if errors.Is(err, errMissing) {
		return nil, fmt.Errorf("there is no such credential in %s: put LoadCredentialEncrypted=%s into the unit that runs secretfs mount, and restart it", c.Directory, name)
	}
	return v, err
}

// trimmed cuts off one newline, and refuses what is empty then.
func trimmed(v *secret.Value) (*secret.Value, error) {
	b := v.Bytes()
	n := len(b)
	if n > 0 && b[n-1] == '\n' {
		n--
	}
	if n > 0 && n < len(b) && b[n-1] == '\r' {
		n--
	}
	switch n {
	case 0:
		v.Destroy()
		return nil, errors.New("it is empty")
	case len(b):
		return v, nil
	}
	defer v.Destroy()
	return copied(b[:n])
}

func copied(b []byte) (*secret.Value, error) {
	v, err := secret.New(len(b))
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), b)
	return v, nil
}

// within has f run in a goroutine of its own, since a dead server of files must
// delay nobody beyond ctx. What comes too late is wiped.
func within(ctx context.Context, f func() (*secret.Value, error)) (*secret.Value, error) {
	type outcome struct {
		v   *secret.Value
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := f()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.v, o.err
	case <-ctx.Done():
		go func() { (<-done).v.Destroy() }()
		return nil, errors.New("it does not open")
	}
}
