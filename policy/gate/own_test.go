package gate_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/conf"
	"github.com/secretfs/secretfs/policy/gate"
)

// ownGate has one secret that a backend is opened with, and that nobody else may
// read.
func ownGate(t *testing.T, log gate.Recorder) (*gate.Gate, *backendtest.Memory) {
	t.Helper()
	drivers := policy.Drivers{"x": {Settings: func(*conf.Node, string, *conf.Problems) any { return nil }}}
	p, err := policy.Parse("/policy.yaml", []byte(
		"backends: {main: {type: x}, bw: {type: x}}\nsecrets: {bw/password: {backend: main, key: pw, mode: \"0000\", only: {units: [none.service]}}}\n"), policy.Env{Drivers: drivers})
	if err != nil {
		t.Fatal(err)
	}
	memory := backendtest.NewMemory(map[string]string{"pw": "correct horse"})
	set, err := backend.NewSet(backend.New(memory, backend.Options{Name: "main"}), backend.New(memory, backend.Options{Name: "bw"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return gate.New(&gate.View{Policy: p, Checker: policy.Checker{Tree: policy.NewTree(p)}, Backends: set}, log), memory
}

// What opens a backend is read for secretfs itself, whoever else may read it, and
// never without a record that says so.
func TestOwn(t *testing.T) {
	errDisk := errors.New("disk")
	for _, c := range []struct {
		name, path  string
		disk, fails error
		want        error
		errno       string
	}{
		{name: "read", path: "bw/password"},
		{name: "not in the policy", path: "bw/none", want: backend.ErrNotFound, errno: "E"},
		{name: "a directory", path: "bw", want: backend.ErrNotFound, errno: "E"},
		{name: "cannot be had", path: "bw/password", fails: backend.ErrUnavailable, want: backend.ErrUnavailable, errno: "E"},
		{name: "not recorded", path: "bw/password", disk: errDisk, want: errDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &recorder{err: c.disk}
			g, memory := ownGate(t, log)
			memory.Fail("pw", c.fails)
			s, err := g.Own(t.Context(), c.path, "bw", func(error) string { return "E" })
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (s == nil) != (err != nil) {
				t.Fatalf("got %v, %v, want %v", s, err, c.want)
			}
			version := ""
			if s != nil {
				version = string(s.Version)
				if got := string(s.Value.Bytes()); got != "correct horse" {
					t.Errorf("got %q", got)
				}
				s.Value.Destroy()
			}
			if c.disk != nil {
				return
			}
			outcome := audit.Allowed
			if err != nil {
				outcome = audit.Failed
			}
			want := fmt.Sprintf("%s %s %d %d credential of backend \"bw\", %s, %s", outcome, c.path, os.Getpid(), os.Geteuid(), c.errno, version)
			if got := recorded(log.records); got != want {
				t.Errorf("recorded %q, want %q", got, want)
			}
		})
	}
}
