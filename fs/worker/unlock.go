package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy/conf"
)

// unlockTime bounds one attempt to open a backend: a key derivation and a login.
const unlockTime = 2 * time.Minute

// handleUnlock takes what somebody has typed, and says whether the backend opens
// with it, or what it lacks.
func (w *worker) handleUnlock(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.UnlockRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	select {
	case w.unlocks <- struct{}{}:
		defer func() { <-w.unlocks }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o, err := w.find(r.Backend)
	if err != nil {
		return nil, err
	}
	typed, err := control.Read(ctx, r.Fields)
	if err != nil {
		return nil, err
	}
	given := make([]string, len(typed))
	for i, t := range typed {
		given[i] = t.Field
		o.asked.Give(t.Field, t.Value)
	}
	missing := o.asked.Missing(asks(o))
	if len(missing) > 0 && len(given) == 0 {
		if w.isOpen(ctx, o) {
			return control.UnlockAnswer{Open: true}, nil
		}
		return control.UnlockAnswer{Asks: questions(missing)}, nil
	}
	err = w.tryOpen(ctx, o)
	answer := control.UnlockAnswer{Open: err == nil, Error: text(err)}
	if errors.Is(err, backend.ErrRejected) && len(given) > 0 {
		o.asked.Forget(given...) // nothing speaks for them
	}
	if err != nil {
		answer.Asks = questions(union(o.asked.Missing(asks(o)), o.asked.Wanted()))
	}
	w.sayUnlocked(ctx, o, err)
	return answer, nil
}

// isOpen says that a backend works, and that it lacks nothing for that although
// something is missing: a code that was good for once.
func (w *worker) isOpen(ctx context.Context, o *opened) bool {
	if o.resolver.Status().State != backend.Ready {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, o.spec.Timeout)
	defer cancel()
	known, err := o.resolver.Try(ctx)
	return known && err == nil
}

// find is the backend of that name.
func (w *worker) find(name string) (*opened, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.opened[name]; o != nil {
		return o, nil
	}
	var names []string
	for known := range w.opened {
		names = append(names, known)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("the policy has no backend %q%s", name, conf.Suggest(name, names))
}

// asks are the credentials of a backend that are asked for, in the order in
// which the policy has them.
func asks(o *opened) (list []credential.Source) {
	for _, s := range credential.All(o.spec.Config) {
		if s.Kind == credential.Ask {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b credential.Source) int {
		return cmp.Compare(place(o.spec.Settings, a.Field), place(o.spec.Settings, b.Field))
	})
	return list
}

// place is where in the policy a field stands.
func place(n *conf.Node, field string) int {
	at, found := 0, -1
	var walk func(*conf.Node)
	walk = func(n *conf.Node) {
		for i := range n.Items() {
			at++
			if keys := n.Keys(); keys != nil && keys[i].Name == field && found < 0 {
				found = at
			}
			walk(&n.Items()[i])
		}
	}
	walk(n)
	return found
}

func union(a, b []credential.Source) []credential.Source {
	for _, s := range b {
		if !slices.ContainsFunc(a, func(o credential.Source) bool { return o.Field == s.Field }) {
			a = append(a, s)
		}
	}
	return a
}

func questions(sources []credential.Source) (list []control.Question) {
	for _, s := range sources {
		prompt := cmp.Or(s.Prompt, strings.ReplaceAll(s.Field, "_", " "))
		list = append(list, control.Question{Field: s.Field, Prompt: prompt})
	}
	return list
}

// tryOpen takes a lock off a backend and says whether it opens.
func (w *worker) tryOpen(ctx context.Context, o *opened) error {
	ctx, cancel := context.WithTimeout(ctx, unlockTime)
	defer cancel()
	name := o.spec.Name
	w.keepLocks(name, false)
	o.resolver.Unlock()
	o.asked.Wanted() // what was wanted before may not be any more
	defer w.changes.add(name)
	if known, err := o.resolver.Try(ctx); known {
		return err
	}
	return w.trySecrets(ctx, o)
}

// maxTries is how many secrets are tried at most to see whether one opens.
const maxTries = 16

// trySecrets fetches secrets until one is there. If none is, the error is that of
// one that was refused, or else the first.
func (w *worker) trySecrets(ctx context.Context, o *opened) (first error) {
	tries := 0
	for _, s := range w.gate.View().Policy.Secrets {
		if s.Backend != o.spec.Name {
			continue
		}
		got, err := o.resolver.Get(ctx, s.Key)
		if err == nil {
			got.Value.Destroy()
			return nil
		}
		if first == nil || errors.Is(err, backend.ErrRejected) && !errors.Is(first, backend.ErrRejected) {
			first = err
		}
		if tries++; tries == maxTries || ctx.Err() != nil {
			break
		}
	}
	return first
}

func (w *worker) sayUnlocked(ctx context.Context, o *opened, err error) {
	peer, _ := control.PeerOf(ctx)
	w.log.Info("secretfs unlock", "backend", o.spec.Name, "uid", peer.UID, "pid", peer.PID, "open", err == nil)
}

// lockTime is how long a backend may take to forget: some tell a server.
const lockTime = 10 * time.Second

// handleLock makes backends forget: some, or all, side by side.
func (w *worker) handleLock(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.LockRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	if len(r.Backends) == 0 {
		for _, b := range w.gate.View().Backends.All() {
			r.Backends = append(r.Backends, b.Name())
		}
	}
	failed := make([]error, len(r.Backends))
	var locking sync.WaitGroup
	for i, name := range r.Backends {
		locking.Go(func() {
			o, err := w.find(name)
			if err == nil {
				err = w.lock(ctx, o)
			}
			failed[i] = err
		})
	}
	locking.Wait()
	return nil, errors.Join(failed...)
}

// lock has one backend forget all that opens it and all values, here and for the
// next worker. It is locked whatever the driver says or does not say to it.
func (w *worker) lock(ctx context.Context, o *opened) error {
	name := o.spec.Name
	w.keepLocks(name, true)
	o.asked.Forget()
	w.unkeep(stateSlot + name)
	w.unkeep(valuesSlot + name)
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.resolver.Lock(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = fmt.Errorf("giving back what the server had given it: no answer within %s; that ends by itself: %w", lockTime, backend.ErrTimeout)
	}
	w.fs.Discard(name)
	w.changes.add(name)
	peer, _ := control.PeerOf(ctx)
	w.log.Info("secretfs lock", "backend", name, "uid", peer.UID, "pid", peer.PID)
	if err != nil {
		return fmt.Errorf("locking backend %s: it is locked, but: %w", name, err)
	}
	return nil
}

// keepLocks notes what is locked, for the next worker too.
func (w *worker) keepLocks(name string, locked bool) {
	w.locksKept.Lock()
	defer w.locksKept.Unlock()
	w.keepBytes(keptLocks, w.locks.set(name, locked))
}
