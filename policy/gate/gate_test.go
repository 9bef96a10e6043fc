package gate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/conf"
	"github.com/secretfs/secretfs/policy/gate"
)

const rules = `
backends: {main: {type: x}}
defaults: {uid: 0, gid: 0}
secrets:
  open: {mode: "0444"}
  closed: {mode: "0400"}
`

// A recorder keeps records, or refuses them.
type recorder struct {
	records []audit.Record
	err     error
}

func (r *recorder) Append(record *audit.Record) error {
	if r.err == nil {
		r.records = append(r.records, *record)
	}
	return r.err
}

func newGate(t *testing.T, log gate.Recorder) *gate.Gate {
	t.Helper()
	drivers := policy.Drivers{"x": {Settings: func(*conf.Node, string, *conf.Problems) any { return nil }}}
	p, err := policy.Parse("/policy.yaml", []byte(rules), policy.Env{Drivers: drivers})
	if err != nil {
		t.Fatal(err)
	}
	set, err := backend.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	names, exes := policy.NewNames(policy.NamesConfig{Passwd: "/dev/null", Group: "/dev/null"}), policy.NewExecutables(0)
	names.Use(p)
	checker := policy.Checker{Tree: policy.NewTree(p), Names: names, Executables: exes}
	return gate.New(&gate.View{Policy: p, Checker: checker, Backends: set}, log)
}

// The order of things, whatever goes wrong: who is refused is not served, what
// is served without a record does not leave, and all is recorded that was decided.
func TestOpen(t *testing.T) {
	errDisk, errCaller, errServe := errors.New("disk"), errors.New("caller"), errors.New("serve")
	for _, c := range []struct {
		name, path        string
		caller, serve     error
		disk, find        error
		want              error
		served            bool
		outcome           audit.Outcome // empty: not recorded
		rule, errno, vers string
	}{
		{name: "allowed", path: "open", served: true, outcome: audit.Allowed, rule: "mode 0444 other", vers: "v1"},
		{name: "refused", path: "closed", want: gate.ErrRefused, outcome: audit.Refused, rule: "mode 0400 of 0:0", errno: "refused"},
		{name: "caller unknown", path: "open", caller: errCaller, want: gate.ErrRefused, outcome: audit.Refused, rule: "caller unknown", errno: "refused"},
		{name: "not in the policy", path: "none", want: backend.ErrNotFound, outcome: audit.Failed, errno: "failed"},
		{name: "nothing there", path: "open", find: backend.ErrNotFound, want: backend.ErrNotFound, outcome: audit.Failed, errno: "failed"},
		{name: "cannot be had", path: "open", serve: errServe, want: errServe, served: true, outcome: audit.Failed, rule: "mode 0444 other", errno: "failed"},
		{name: "sent to ask again", path: "open", serve: gate.Again(errServe), want: errServe, served: true},
		{name: "allowed, not recorded", path: "open", disk: errDisk, want: errDisk, served: true},
		{name: "refused, not recorded", path: "closed", disk: errDisk, want: errDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, served := &recorder{err: c.disk}, false
			request := gate.Request{
				Path: c.path, UID: 7, GID: 7, FindErr: c.find,
				Identify: func(policy.Needs) (*policy.Caller, error) { return &policy.Caller{PID: 3, UID: 7, GID: 7}, c.caller },
				Errno: func(err error) string {
					if errors.Is(err, gate.ErrRefused) {
						return "refused"
					}
					return "failed"
				},
			}
			err := newGate(t, log).Open(t.Context(), request, func(context.Context, gate.Fetch) (gate.Served, error) {
				served = true
				if c.serve != nil {
					return gate.Served{}, c.serve
				}
				return gate.Served{Version: "v1"}, nil
			})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if served != c.served {
				t.Errorf("served: %v", served)
			}
			want := ""
			if c.outcome != "" {
				want = fmt.Sprint(c.outcome, " ", c.path, " 3 7 ", c.rule, ", ", c.errno, ", ", c.vers)
			}
			if got := recorded(log.records); got != want {
				t.Errorf("recorded %q, want %q", got, want)
			}
		})
	}
}

// A PID 1 does not wait for a backend, whatever its secret's `wait` says.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drivers := policy.Drivers{"x": {Settings: func(*conf.Node, string, *conf.Problems) any { return nil }}}
		p, err := policy.Parse("/policy.yaml", []byte("backends: {main: {type: x}}\nsecrets: {late: {wait: 1m, mode: \"0444\"}}\n"), policy.Env{Drivers: drivers})
		if err != nil {
			t.Fatal(err)
		}
		values := backendtest.NewMemory(map[string]string{"late": "value"})
		values.Fail("late", backend.ErrLocked)
		set, err := backend.NewSet(backend.New(values, backend.Options{Name: "main"}))
		if err != nil {
			t.Fatal(err)
		}
		names := policy.NewNames(policy.NamesConfig{Passwd: "/dev/null", Group: "/dev/null"})
		names.Use(p)
		g := gate.New(&gate.View{Policy: p, Backends: set, Checker: policy.Checker{
			Tree: policy.NewTree(p), Names: names, Executables: policy.NewExecutables(0),
		}}, &recorder{})
		for patient, want := range map[bool]time.Duration{false: 0, true: time.Minute} {
			request := gate.Request{
				Path: "late", Errno: func(error) string { return "" },
				Identify: func(policy.Needs) (*policy.Caller, error) { return &policy.Caller{}, nil },
			}
			began := time.Now()
			err := g.Open(t.Context(), request, func(ctx context.Context, fetch gate.Fetch) (gate.Served, error) {
				_, err := fetch(ctx, patient)
				return gate.Served{}, err
			})
			if took := time.Since(began); !errors.Is(err, backend.ErrLocked) || took != want {
				t.Errorf("patient %v: %v after %v, want %v", patient, err, took, want)
			}
		}
	})
}

// recorded is what the tests look at, "" without a record.
func recorded(records []audit.Record) string {
	text := ""
	for _, r := range records {
		text += fmt.Sprint(r.Outcome, " ", r.Path, " ", r.PID, " ", r.UID, " ", r.Rule, ", ", r.Errno, ", ", r.Version)
	}
	return text
}
