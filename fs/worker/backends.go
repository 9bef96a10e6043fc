package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/fs/credentials"
	"github.com/secretfs/secretfs/policy"
)

// An opened backend, with what it was opened from.
type opened struct {
	spec     policy.Backend
	state    string // the state directory, if spec needs one
	asked    *credentials.Asked
	resolver *backend.Resolver
}

// backend opens one, or goes on with the one that is open.
func (w *worker) backend(spec policy.Backend, p *policy.Policy) (*opened, error) {
	if o := w.opened[spec.Name]; o != nil && same(o.spec, spec) && (!spec.Disk || o.state == p.State) {
		return o, nil
	}
	opener := w.cfg.Openers[spec.Type]
	if opener == nil {
		return nil, errors.New("no driver for type " + spec.Type)
	}
	asked := w.asked(spec)
	env := backend.Env{
		Name: spec.Name, Timeout: spec.Timeout, Timings: timings(spec),
		Credential: w.chain(spec.Name, asked).Get, Forget: func(s credential.Source) { asked.Forget(s.Field) },
		Helper: w.helper(spec.Name), State: w.locks.guard(spec.Name, w.slot(stateSlot+spec.Name, nil)), Disk: w.store(spec, p),
		OfflineMaxAge: spec.OfflineMaxAge,
		Log:           w.log.With("backend", spec.Name),
	}
	defer env.State.Saved.Keys.Destroy()
	b, err := opener(spec.Config, env)
	if err != nil {
		return nil, err
	}
	values := w.locks.guard(spec.Name, w.slot(valuesSlot+spec.Name, source(spec)))
	defer values.Saved.Keys.Destroy()
	listings := w.slot(listingsSlot+spec.Name, source(spec))
	defer listings.Saved.Keys.Destroy()
	o := &opened{spec: spec, state: p.State, asked: asked, resolver: backend.New(b, backend.Options{
		Name: spec.Name, Timeout: spec.Timeout, InFlight: spec.InFlight, Timings: env.Timings, Slot: values, Listings: listings,
		Locked:  w.locks.has(spec.Name),
		Offline: w.copies(spec, p), Log: env.Log,
	})}
	o.resolver.Notify(func() { w.changes.add(spec.Name) })
	return o, nil
}

func timings(spec policy.Backend) backend.Timings {
	t := backend.Timings{
		Default: backend.Timing{TTL: spec.TTL, MaxStale: spec.MaxStale},
		ByKey:   make(map[string]backend.Timing, len(spec.Timings)),
	}
	for key, own := range spec.Timings {
		t.ByKey[key] = backend.Timing(own)
	}
	return t
}

// helper starts helpers for the backend of that name.
func (w *worker) helper(name string) func(context.Context, backend.HelperCall) (net.Conn, error) {
	return func(ctx context.Context, call backend.HelperCall) (net.Conn, error) {
		return w.link.Helper(ctx, name, call)
	}
}

// same says whether two entries of backends: mean the same; where they stand
// in the file does not matter.
func same(a, b policy.Backend) bool {
	a.Settings, b.Settings = nil, nil
	return reflect.DeepEqual(a, b)
}

// What is kept for the next worker has the backend's name after one of these.
const (
	stateSlot    = "backend-"  // the backend's own state
	valuesSlot   = "values-"   // what the resolver remembers of a remote one
	listingsSlot = "listings-" // what lies in the places of a remote one
	askedSlot    = "asked-"    // what somebody has typed for it
)

// slot is where one part's state is kept for the next worker. What was kept with
// another mark is not taken over.
func (w *worker) slot(name string, mark []byte) backend.Slot {
	s := backend.Slot{Save: func(l backend.Legacy) {
		if len(mark) > 0 {
			l.Rest = slices.Concat(mark, l.Rest)
		}
		w.save(name, l)
	}}
	saved := w.saved(name)
	if rest, ok := bytes.CutPrefix(saved.Rest, mark); ok {
		s.Saved = backend.Legacy{Keys: saved.Keys, Rest: rest}
	} else {
		saved.Keys.Destroy()
	}
	return s
}

// source marks what was fetched from the place that spec is about: under the
// same name there may be another one after a reload.
func source(spec policy.Backend) []byte {
	config, err := json.Marshal(spec.Config)
	if err != nil {
		config = []byte(rand.Text()) // fits nothing
	}
	digest := sha256.Sum256(append([]byte(spec.Type+"\n"), config...))
	return digest[:]
}

// restSuffix names the part of a backend's state that is not secret.
const restSuffix = "-rest"

// save leaves a backend's state to the next worker. Should we die halfway, the
// two parts do not belong together, which a backend finds out.
func (w *worker) save(name string, l backend.Legacy) {
	defer l.Keys.Destroy()
	framed, err := frame(l.Keys)
	if err != nil {
		w.log.Warn("keeping a backend's state", "name", name, "error", err)
		return
	}
	defer framed.Destroy()
	f, err := w.unswapped(name, framed)
	if err != nil {
		return // the next worker starts afresh
	}
	defer f.Close()
	w.keepBytes(name+restSuffix, l.Rest)
	if err := w.link.Keep(name, f); err != nil {
		w.log.Warn("keeping a backend's state", "name", name, "error", err)
	}
}

func (w *worker) saved(name string) (l backend.Legacy) {
	f, err := w.link.Kept(name)
	if err != nil || f == nil {
		return l
	}
	defer f.Close()
	if l.Rest, err = w.link.KeptBytes(name + restSuffix); err != nil {
		return l
	}
	if l.Keys, err = unframe(int(f.Fd())); err != nil {
		w.log.Warn("taking over a backend's state", "name", name, "error", err)
	}
	return l
}

// retire closes backends that no view uses any more, once the requests that
// began with them have had their time. Nothing is kept of one that the policy
// does not have any more.
func (w *worker) retire(old map[string]*opened) {
	for name, o := range old {
		if w.opened[name] != o {
			time.AfterFunc(o.spec.Timeout+time.Second, func() {
				w.giveUp(name, o)
				if err := o.resolver.Close(); err != nil {
					w.log.Warn("closing a backend", "name", name, "error", err)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				w.clear(o, w.opened[name])
				if next := w.opened[name]; next == nil || next.asked != o.asked {
					o.asked.Close()
				}
				if w.opened[name] == nil {
					w.unkeep(stateSlot + name)
					w.unkeep(valuesSlot + name)
					w.unkeep(listingsSlot + name)
					w.unkeep(askedSlot + name)
				}
			})
		}
	}
}

func (w *worker) unkeep(slot string) {
	for _, name := range []string{slot, slot + restSuffix} {
		if err := w.link.Keep(name, nil); err != nil {
			w.log.Warn("forgetting a backend's state", "name", name, "error", err)
		}
	}
}
