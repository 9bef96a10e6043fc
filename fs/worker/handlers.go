package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/fs/mount"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// policyCode is the exit code of a command that meets a policy with errors.
const policyCode = 3

func (w *worker) handlers() map[string]control.Handler {
	return map[string]control.Handler{
		control.CmdStatus:  func(context.Context, json.RawMessage) (any, error) { return w.status(), nil },
		control.CmdList:    func(context.Context, json.RawMessage) (any, error) { return w.list(), nil },
		control.CmdExplain: w.handleExplain,
		control.CmdRefresh: w.handleRefresh,
		control.CmdWait:    w.handleWait,
		control.CmdReload:  w.handleReload,
		control.CmdUpgrade: w.handleUpgrade,
		control.CmdUmount:  w.handleUmount,
		control.CmdUnlock:  w.handleUnlock,
		control.CmdLock:    w.handleLock,
		control.CmdInherit: w.handleInherit,
	}
}

func (w *worker) handleReload(context.Context, json.RawMessage) (any, error) {
	err := w.reload()
	var problems *conf.Problems
	if errors.As(err, &problems) {
		return nil, &control.Error{Sentence: "the policy has errors, the old one stays in force:\n" + problems.Error(), Code: policyCode}
	}
	return nil, err
}

func (w *worker) handleUpgrade(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.UpgradeRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	return nil, w.link.Upgrade(ctx, r.Binary)
}

func (w *worker) handleUmount(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.UmountRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	busy, err := w.link.Stop(ctx, r.Lazy)
	if errors.Is(err, mount.ErrNoHolder) {
		return control.UmountAnswer{Orphaned: true, Mount: w.ground.Mount}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(busy) > 0 {
		return nil, mount.BusyError(w.ground.Mount, busy)
	}
	return control.UmountAnswer{Mount: w.ground.Mount}, nil
}

// handleInherit hands over to a new holder, once ours is dead.
func (w *worker) handleInherit(context.Context, json.RawMessage) (any, error) {
	file, err := w.link.Bequeath(w.ground, w.inherited)
	return control.Passed{File: file}, err
}

// handleRefresh has backends look again now: those of some paths, or all.
func (w *worker) handleRefresh(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.RefreshRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	view := w.gate.View()
	names := make(map[string]bool)
	for _, path := range r.Paths {
		if !addBackends(names, view.Policy, view.Tree, w.relative(path)) {
			return nil, fmt.Errorf("refreshing %s: the policy has no such path", path)
		}
	}
	w.names.Refresh()
	w.exes.Refresh()
	var failed []error
	for _, b := range view.Backends.All() {
		if len(r.Paths) > 0 && !names[b.Name()] {
			continue
		}
		if err := b.Refresh(ctx); err != nil {
			failed = append(failed, fmt.Errorf("refreshing backend %s: %w", b.Name(), err))
		}
		w.changes.add(b.Name())
	}
	return nil, errors.Join(failed...)
}

// addBackends adds the backends of what is at path and, in a directory, below
// it. It returns false where the policy has nothing.
func addBackends(names map[string]bool, p *policy.Policy, tree *policy.Tree, path string) bool {
	n, ok := tree.Lookup(path)
	if n.Backend != "" {
		names[n.Backend] = true
	}
	if n.Kind != policy.Dir {
		return ok
	}
	below := func(entry string) bool { return path == "" || strings.HasPrefix(entry, path+"/") }
	for _, s := range p.Secrets {
		if below(s.Path) {
			names[s.Backend] = true
		}
	}
	for _, d := range p.Dirs {
		if below(d.Path) && d.Backend != "" {
			names[d.Backend] = true
		}
	}
	return true
}

// waitPause is between two attempts of `secretfs wait`.
const waitPause = 100 * time.Millisecond

// handleWait returns once every path can be fetched. It fetches, so that the
// readers that were waited for find the way clear, and hands out nothing.
func (w *worker) handleWait(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.WaitRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	for _, path := range r.Paths {
		n, ok := w.gate.View().Tree.Lookup(w.relative(path))
		if why := noSecret(n, ok); why != "" {
			return nil, fmt.Errorf("waiting for %s: %s", path, why)
		}
		for {
			err := w.try(ctx, w.relative(path))
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("waiting for %s: %w", path, err)
			case <-time.After(waitPause):
			}
		}
	}
	return nil, nil
}

// try fetches a secret and throws it away.
func (w *worker) try(ctx context.Context, path string) error {
	view := w.gate.View()
	n, ok := view.Tree.Lookup(path)
	if !ok || n.Kind == policy.Dir {
		return backend.ErrNotFound
	}
	r, ok := view.Backends.Lookup(n.Backend)
	if !ok {
		return backend.ErrNotFound
	}
	s, err := r.Get(ctx, n.Key)
	if err != nil {
		return err
	}
	s.Value.Destroy()
	return nil
}

// relative takes a path as people type it: below the mount or relative to it.
func (w *worker) relative(path string) string {
	path = strings.TrimPrefix(path, w.ground.Mount)
	return strings.Trim(path, "/")
}

func decode(args json.RawMessage, v any) error {
	if len(args) == 0 {
		return nil
	}
	if err := json.Unmarshal(args, v); err != nil {
		return fmt.Errorf("decoding the request: %w", err)
	}
	return nil
}

func workerPID() int { return os.Getpid() }
