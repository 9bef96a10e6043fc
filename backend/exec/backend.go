package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/salt"
	"github.com/secretfs/secretfs/backend/secret"
)

// maxOutput is how much a command may print, in bytes.
const maxOutput = 1 << 20

// A Backend runs the command of each secret. It keeps no plaintext.
type Backend struct {
	settings Settings
	start    helper.Starter
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	echoes   *echoes

	mu       sync.RWMutex // held for reading while versions is in use
	versions *salt.Salt   // nil once closed
}

var (
	_ backend.Remote = (*Backend)(nil)
	_ backend.Locker = (*Backend)(nil)
)

// Open is the backend.Opener of this package. It runs nothing.
func Open(config any, env backend.Env) (backend.Backend, error) {
	versions, err := salt.Take(env.State)
	if err != nil {
		return nil, err
	}
	b := &Backend{settings: config.(Settings), start: env.Helper, versions: versions, echoes: newEchoes()}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// Polls is false: a command may ask for a touch of a token, or cost a quota.
func (*Backend) Polls() bool { return false }

// Get runs the command of key. An error concerns that secret alone, unless the
// command did not end in time.
func (b *Backend) Get(ctx context.Context, key string) (*backend.Secret, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	argv := b.settings.argv(key)
	if len(argv) == 0 {
		return nil, backend.Alone(fmt.Errorf("there is no command for %q: %w", key, backend.ErrNotFound))
	}
	v, err := program.Run(ctx, b.start, program.Command{
		Argv: argv, Env: b.settings.Env, Dir: b.settings.Dir, User: b.settings.User, Max: maxOutput, Sysexits: true,
	})
	switch {
	case b.ctx.Err() != nil:
		v.Destroy()
		return nil, errClosed
	case errors.Is(err, context.Canceled), errors.Is(err, backend.ErrTimeout):
		return nil, fmt.Errorf("running %s: %w", argv[0], err)
	case err != nil:
		return nil, backend.Alone(b.echoes.discreet(key, argv[0], err))
	}
	if v, err = b.trimmed(v, argv[0]); err != nil {
		return nil, backend.Alone(err)
	}
	return b.named(key, v)
}

var errClosed = fmt.Errorf("the backend is closed: %w", backend.ErrUnavailable)

// named gives v its version.
func (b *Backend) named(key string, v *secret.Value) (*backend.Secret, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.versions == nil {
		v.Destroy()
		return nil, errClosed
	}
	b.echoes.learn(key, v.Bytes())
	return &backend.Secret{Value: v, Version: b.versions.Version(key, v.Bytes())}, nil
}

// trimmed is v without the end of its last line. A program that prints nothing has
// no secret, whatever it says of itself.
func (b *Backend) trimmed(v *secret.Value, name string) (*secret.Value, error) {
	text := v.Bytes()
	n := len(text)
	if b.settings.Trim && n > 0 && text[n-1] == '\n' {
		if n--; n > 0 && text[n-1] == '\r' {
			n--
		}
	}
	if n == len(text) && n > 0 {
		return v, nil
	}
	defer v.Destroy()
	if n == 0 {
		return nil, fmt.Errorf("running %s: it printed nothing: %w", name, backend.ErrNotFound)
	}
	fit, err := secret.New(n)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w: %w", name, err, backend.ErrUnavailable)
	}
	copy(fit.Bytes(), text)
	return fit, nil
}

// Lock forgets what it knows of values.
func (b *Backend) Lock(context.Context) error {
	b.echoes.forget()
	return nil
}

// Close ends what runs.
func (b *Backend) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.versions != nil {
		b.versions.Close()
		b.versions = nil
	}
	return nil
}
