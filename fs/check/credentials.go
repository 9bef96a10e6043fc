package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/credentials"
	"github.com/secretfs/secretfs/policy"
)

// A credentialFunc is backend.Env.Credential.
type credentialFunc func(context.Context, credential.Source) (*secret.Value, error)

// errUnasked is no problem: a backend has to ask its server, and must not yet.
var errUnasked = errors.New("not without --resolve")

// noCredential is for a check that opens nothing.
func noCredential(_ context.Context, s credential.Source) (*secret.Value, error) {
	return nil, fmt.Errorf("getting the %s: %w: %w", s, errUnasked, backend.ErrLocked)
}

// A lender gets credentials for Resolve, as the mount would, but for those that
// are asked: nobody is to type them twice.
type lender struct {
	cfg *Config
	set atomic.Pointer[backend.Set] // nil until all backends are open
}

func (l *lender) get(ctx context.Context, s credential.Source) (*secret.Value, error) {
	c := credentials.Chain{
		Mount: l.cfg.Policy.Mount, Directory: os.Getenv("CREDENTIALS_DIRECTORY"), Secret: l.secret,
		Run: func(ctx context.Context, argv []string, user string) (*secret.Value, error) {
			return program.Run(ctx, l.cfg.Helper, program.Command{Argv: argv, User: user, Max: credentials.MaxLen})
		},
		Asked: func(credential.Source) (*secret.Value, error) {
			return nil, fmt.Errorf("only a running mount is told it: %w", backend.ErrLocked)
		},
	}
	return c.Get(ctx, s)
}

func (l *lender) secret(ctx context.Context, path string) (*secret.Value, error) {
	n, ok := policy.NewTree(l.cfg.Policy).Lookup(path)
	set := l.set.Load()
	if !ok || set == nil {
		return nil, fmt.Errorf("looking up %s: %w", path, backend.ErrNotFound)
	}
	b, ok := set.Lookup(n.Backend)
	if !ok {
		return nil, fmt.Errorf("looking up %s: %w", path, backend.ErrNotFound)
	}
	s, err := b.Get(ctx, n.Key)
	if err != nil {
		return nil, err
	}
	return s.Value, nil
}
