// Package check finds what is wrong with a policy before it is mounted: on any
// machine what can be told from the policy and the encrypted files alone, on the
// machine that will mount it also what is missing there, and, asked to, whether
// each secret can be decrypted. It changes nothing and shows no value.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// A Config is what is checked and with what.
type Config struct {
	Policy  *policy.Policy
	Openers map[string]backend.Opener // backend type -> how to open one
	// Needs tells, by backend type, the files that a backend reads.
	Needs map[string]func(config any) []string
	// Doubts tells, by backend type, what on this machine is not wrong and
	// should not be as it is.
	Doubts map[string]func(config any) []string
	// Helper starts helpers for Resolve; see backend.Env.
	Helper func(ctx context.Context, call backend.HelperCall) (net.Conn, error)
	// Identities opens offline copies with the private keys in these files.
	Identities func(files []string, start helper.Starter) offline.Keys
	// Lookup finds users and groups that are not in the files below /etc.
	Lookup policy.Lookup
}

// A Problem is one thing that is wrong.
type Problem struct {
	Pos conf.Pos // place in the policy, zero if it is about no single one
	// Policy says that the policy is wrong, whatever the machine.
	Policy bool
	What   string
}

// A Report is what a check found.
type Report struct {
	Problems []Problem // in the order of the policy
	// Skipped are sentences on what could not be looked at here.
	Skipped []string
	// Warnings are sentences on what works and should not be as it is.
	Warnings []string
}

func (r *Report) add(pos conf.Pos, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Pos: pos, What: fmt.Sprintf(format, args...)})
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
}

// Static checks that the keys which the policy names exist in the encrypted
// files that can be read here. It knows nothing else of the machine: no key, no
// user, no mountpoint.
func Static(ctx context.Context, cfg *Config) (*Report, error) {
	var r Report
	set, err := open(cfg, noHelper, noCredential)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	for _, err := range r.lookForKeys(ctx, cfg.Policy, set) {
		r.Skipped = append(r.Skipped, fmt.Sprintf("not looked into: %v", err))
	}
	slices.Sort(r.Skipped)
	r.sort()
	return &r, nil
}

// Machine checks what Static does, and that this machine has what mounting and
// serving need: files, keys, users, groups, executables, the mountpoint.
func Machine(ctx context.Context, cfg *Config) (*Report, error) {
	var r Report
	set, err := open(cfg, noHelper, noCredential)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	missing := r.needs(cfg)
	r.offline(ctx, cfg)
	r.credentialFiles(ctx, cfg, missing)
	for name, err := range r.lookForKeys(ctx, cfg.Policy, set) {
		if !missing[name] && !errors.Is(err, errUnasked) { // else said already, and better
			r.add(conf.Pos{}, "%v", err)
		}
	}
	r.doubts(cfg)
	r.names(ctx, cfg)
	r.executables(cfg.Policy)
	r.mountpoint(cfg.Policy)
	r.sort()
	return &r, nil
}

// open opens the backends of a policy.
func open(cfg *Config, helper func(context.Context, backend.HelperCall) (net.Conn, error), get credentialFunc) (*backend.Set, error) {
	var all []*backend.Resolver
	for _, b := range cfg.Policy.Backends {
		opened, err := cfg.Openers[b.Type](b.Config, backend.Env{
			Name: b.Name, Timeout: b.Timeout, Helper: helper, Credential: get,
			Timings: backend.Timings{Default: backend.Timing{TTL: b.TTL, MaxStale: b.MaxStale}},
		})
		if err != nil {
			return nil, fmt.Errorf("opening backend %s: %w", b.Name, err)
		}
		all = append(all, backend.New(opened, backend.Options{Name: b.Name, Timeout: b.Timeout}))
	}
	return backend.NewSet(all...)
}

func noHelper(_ context.Context, call backend.HelperCall) (net.Conn, error) {
	return nil, fmt.Errorf("starting helper %s: not without --resolve", call.Kind)
}
