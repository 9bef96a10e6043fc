package check

import (
	"context"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// A Verdict says whether one secret could be fetched.
type Verdict struct {
	Path    string
	Err     error // nil if it could
	Size    int   // bytes
	Version backend.Version
}

// Resolve fetches every secret of the policy, those in its directories too, and
// throws the values away. Each is told to tell, in the order of the policy; tell's
// error ends it.
func Resolve(ctx context.Context, cfg *Config, tell func(Verdict) error) error {
	l := lender{cfg: cfg}
	set, err := open(cfg, cfg.Helper, l.get)
	if err != nil {
		return err
	}
	defer set.Close()
	defer giveBack(ctx, set)
	l.set.Store(set)
	for _, s := range cfg.Policy.Secrets {
		if err := tell(fetch(ctx, set, s.Backend, s.Key, s.Path)); err != nil {
			return err
		}
	}
	for _, d := range cfg.Policy.Dirs {
		if d.Backend == "" {
			continue
		}
		if err := walk(ctx, set, tell, place{d.Backend, d.Key, d.Path}); err != nil {
			return err
		}
	}
	return nil
}

// revokeTime is how long giving back may take.
const revokeTime = 5 * time.Second

// giveBack ends what backends were given for the check. What stays ends by itself.
func giveBack(ctx context.Context, set *backend.Set) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	_ = set.Revoke(ctx)
}

// A place is a sub-tree of a backend and where the mount shows it.
type place struct{ backend, key, path string }

func walk(ctx context.Context, set *backend.Set, tell func(Verdict) error, at place) error {
	b, _ := set.Lookup(at.backend) // the parser sees to it
	entries, err := b.List(ctx, at.key)
	if err != nil {
		return tell(Verdict{Path: at.path + "/", Err: err})
	}
	for _, e := range entries {
		in := place{at.backend, join(at.key, e.Name), join(at.path, e.Name)}
		if e.Dir {
			err = walk(ctx, set, tell, in)
		} else {
			err = tell(fetch(ctx, set, in.backend, in.key, in.path))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// join goes down by one name, as the filesystem does.
func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "/" + name
}

func fetch(ctx context.Context, set *backend.Set, name, key, path string) Verdict {
	b, ok := set.Lookup(name)
	if !ok {
		return Verdict{Path: path, Err: fmt.Errorf("there is no backend %s", name)}
	}
	s, err := b.Get(ctx, key)
	if err != nil {
		return Verdict{Path: path, Err: err}
	}
	defer s.Value.Destroy()
	return Verdict{Path: path, Size: s.Value.Len(), Version: s.Version}
}
