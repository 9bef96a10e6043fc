package worker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/gate"
)

const (
	namesRecheck = 15 * time.Second
	exesRecheck  = 15 * time.Second
)

// readPolicy reads the policy file. If it has errors and an earlier worker had
// a good one, that one stays in force.
func (w *worker) readPolicy() (*policy.Policy, error) {
	source, p, err := w.parseFile()
	if err == nil {
		w.keepPolicy(source)
		return p, nil
	}
	source, keptErr := w.link.KeptBytes(keptPolicy)
	if keptErr != nil {
		return nil, err
	}
	p, keptErr = policy.Parse(w.cfg.Policy, source, w.cfg.Env)
	if keptErr != nil {
		return nil, err
	}
	w.log.Error("reading the policy: the last good one stays in force", "error", err)
	w.source, w.policyErr = sha256.Sum256(source), err
	return p, nil
}

func (w *worker) parseFile() ([]byte, *policy.Policy, error) {
	source, err := os.ReadFile(w.cfg.Policy)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the policy: %w", err)
	}
	p, err := policy.Parse(w.cfg.Policy, source, w.cfg.Env)
	return source, p, err
}

// keepPolicy leaves the policy, which holds no secrets, to the next worker.
func (w *worker) keepPolicy(source []byte) {
	w.source, w.policyErr = sha256.Sum256(source), nil
	w.keepBytes(keptPolicy, source)
}

// keepBytes leaves what is not secret to the next worker.
func (w *worker) keepBytes(name string, b []byte) {
	if err := w.link.KeepBytes(name, b); err != nil {
		w.log.Warn("keeping for the next worker", "what", name, "error", err)
	}
}

// view opens what p needs and puts the whole together. Backends whose part of
// the policy has not changed go on as they are.
func (w *worker) view(p *policy.Policy) (*gate.View, error) {
	if w.names == nil {
		w.names = policy.NewNames(policy.NamesConfig{
			Lookup: policy.Getent, Recheck: namesRecheck, Changed: w.changes.addNames,
		})
		if saved, err := w.link.KeptBytes(keptNames); err == nil {
			w.names.Restore(saved)
		}
		w.exes = policy.NewExecutables(exesRecheck)
	}
	next := make(map[string]*opened)
	set, err := w.open(p, next)
	if err != nil {
		w.discard(next)
		return nil, err
	}
	w.names.Use(p)
	w.exes.Use(p)
	w.opened = next
	retain(p, next)
	return &gate.View{
		Policy:   p,
		Backends: set,
		Checker: policy.Checker{
			Tree: policy.NewTree(p), Names: w.names, Executables: w.exes, UserUnits: os.Geteuid() != 0,
		},
	}, nil
}

// open opens the backends of p, and adds them to next.
func (w *worker) open(p *policy.Policy, next map[string]*opened) (*backend.Set, error) {
	var resolvers []*backend.Resolver
	for _, spec := range p.Backends {
		o, err := w.backend(spec, p)
		if err != nil {
			return nil, fmt.Errorf("opening backend %s: %w", spec.Name, err)
		}
		next[spec.Name] = o
		resolvers = append(resolvers, o.resolver)
	}
	return backend.NewSet(resolvers...)
}

// discard closes what was opened for a policy that does not come into force.
func (w *worker) discard(next map[string]*opened) {
	for name, o := range next {
		if w.opened[name] == o {
			continue
		}
		if err := o.resolver.Close(); err != nil {
			w.log.Warn("closing a backend", "name", name, "error", err)
		}
	}
}

func (w *worker) auditConfig(p *policy.Policy) audit.Config {
	c := audit.Config{
		File: p.Audit.File, Sync: p.Audit.Sync, Interval: p.Audit.Interval,
		OnError: func(err error) { w.log.Error("audit log", "error", err) },
	}
	if p.Audit.Journal {
		c.Journal = &audit.JournalConfig{}
	}
	return c
}

// reload puts the policy file in force as it is now. If it has errors, all
// stays as it is.
func (w *worker) reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.link.Notify("RELOADING=1") // best effort: without a manager nobody listens
	defer func() { _ = w.link.Notify("READY=1") }()
	source, p, err := w.parseFile()
	if err != nil {
		w.policyErr = err
		return err
	}
	if sha256.Sum256(source) == w.source {
		w.policyErr = nil
		w.names.Refresh()
		w.exes.Refresh()
		return nil
	}
	old := w.opened
	view, err := w.view(p)
	if err != nil {
		w.policyErr = err
		return err
	}
	w.settleNames(context.Background())
	w.gate.Swap(view)
	w.keepPolicy(source)
	w.warm()
	w.fs.Reconfigured()
	w.changes.addAll()
	w.retire(old)
	w.followState(p)
	return nil
}
