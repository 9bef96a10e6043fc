package check

import (
	"context"
	"errors"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// indexTimeout is for making the index of one encrypted file, of any size.
const indexTimeout = 10 * time.Second

// lookForKeys adds the keys that are not in their backend. It returns the
// backends that could not be looked into, and why; also, under the backend and
// the key, single secrets of which that is true.
func (r *Report) lookForKeys(ctx context.Context, p *policy.Policy, set *backend.Set) map[string]error {
	closed := map[string]error{}
	look := func(name, key string, pos conf.Pos, dir bool) {
		b, ok := set.Lookup(name)
		if !ok || closed[name] != nil {
			return // a directory without a backend, or said once
		}
		info, err := stat(ctx, b, key)
		switch {
		case errors.Is(err, backend.ErrNotFound):
			r.addPolicy(pos, "%v", err)
		case unusable(err) && backend.IsAlone(err):
			r.addPolicy(pos, "%v", err)
		case unusable(err):
			r.addPolicy(conf.Pos{}, "%v", err)
			closed[name] = err
		case backend.IsAlone(err):
			closed[name+"\x00"+key] = err
		case err != nil:
			closed[name] = err
		case dir && !info.Dir && !lists(ctx, b, key):
			r.addPolicy(pos, "backend %s cannot tell what is in it, so that nothing of it can be shown as a directory: name its secrets", name)
		case dir && !info.Dir:
			r.addPolicy(pos, "key %q of backend %s is one value and cannot be a directory", backend.KeyText(key), name)
		}
	}
	for _, s := range p.Secrets {
		look(s.Backend, s.Key, s.Pos, false)
	}
	for _, d := range p.Dirs {
		look(d.Backend, d.Key, d.Pos, true)
	}
	for name, err := range closed {
		if unusable(err) {
			delete(closed, name) // is a problem already
		}
	}
	return closed
}

// lists says whether the backend is of a kind that can be listed.
func lists(ctx context.Context, b *backend.Resolver, key string) bool {
	_, err := b.List(ctx, key)
	return !errors.Is(err, backend.ErrUnsupported)
}

// unusable says that what is encrypted is wrong, wherever it lies.
func unusable(err error) bool {
	return errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrUnsupported)
}

// stat asks until the index is there: a filesystem would not wait for it.
func stat(ctx context.Context, b *backend.Resolver, key string) (backend.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	for {
		info, err := b.Stat(ctx, key)
		if !errors.Is(err, backend.ErrTimeout) || ctx.Err() != nil {
			return info, err
		}
	}
}

func (r *Report) addPolicy(pos conf.Pos, format string, args ...any) {
	r.add(pos, format, args...)
	r.Problems[len(r.Problems)-1].Policy = true
}
