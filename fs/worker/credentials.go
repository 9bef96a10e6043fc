package worker

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs"
	"github.com/secretfs/secretfs/fs/credentials"
	"github.com/secretfs/secretfs/policy"
)

// chain gets the credentials of the backend of that name.
func (w *worker) chain(name string, asked *credentials.Asked) *credentials.Chain {
	return &credentials.Chain{
		Mount: w.ground.Mount, Directory: os.Getenv("CREDENTIALS_DIRECTORY"),
		Secret: func(ctx context.Context, path string) (*secret.Value, error) { return w.own(ctx, path, name) },
		Run: func(ctx context.Context, argv []string, user string) (*secret.Value, error) {
			return program.Run(ctx, w.helper(name), program.Command{Argv: argv, User: user, Max: credentials.MaxLen})
		},
		Asked: asked.Get,
	}
}

// asked is what was typed for a backend. What was typed for another one that had
// its name is nobody's business any more.
func (w *worker) asked(spec policy.Backend) *credentials.Asked {
	mark := source(spec)
	if o := w.opened[spec.Name]; o != nil && bytes.Equal(source(o.spec), mark) {
		return o.asked
	}
	slot := w.slot(askedSlot+spec.Name, mark)
	defer slot.Saved.Keys.Destroy()
	return credentials.NewAsked(spec.Name, slot)
}

// own reads a secret of the policy that opens the backend of that name. Before
// the gate is there nothing can be recorded, so nothing is read.
func (w *worker) own(ctx context.Context, path, opens string) (*secret.Value, error) {
	select {
	case <-w.gated:
	case <-ctx.Done():
		return nil, fmt.Errorf("secretfs has not begun to serve: %w", backend.ErrTimeout)
	}
	s, err := w.gate.Own(ctx, path, opens, func(err error) string { return unix.ErrnoName(fs.Errno(err)) })
	if err != nil {
		return nil, err
	}
	return s.Value, nil
}
