package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/conf"
)

// BenchmarkParts says what the parts of an open cost that a bare file has not.
func BenchmarkParts(b *testing.B) {
	parts := []struct {
		name string
		run  func()
	}{
		{"caller, where its ids suffice", lookUp(b, 0)},
		{"caller, with groups, capabilities and the executable's file", lookUp(b, caller.NeedAll)},
		{"policy", decide(b)},
		{"audit", record(b)},
	}
	took := make([][]time.Duration, len(parts))
	for b.Loop() {
		for i, part := range parts {
			const n = 2000
			start := time.Now()
			for range n {
				part.run()
			}
			took[i] = append(took[i], time.Since(start)/n)
		}
	}
	for i, part := range parts {
		results.say("part of an open: "+part.name, text(median(took[i])), "", 0)
	}
}

func lookUp(b *testing.B, needs caller.Needs) func() {
	b.Helper()
	proc, err := caller.Open("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { proc.Close() })
	tid, uid, gid := uint32(os.Getpid()), uint32(os.Geteuid()), uint32(os.Getegid())
	return func() {
		if _, err := proc.Lookup(tid, uid, gid, needs); err != nil {
			b.Error(err)
		}
	}
}

func decide(b *testing.B) func() {
	b.Helper()
	drivers := map[string]policy.Driver{"none": {Settings: func(*conf.Node, string, *conf.Problems) any { return nil }}}
	p, err := policy.Parse("/policy.yaml", []byte("backends: {main: {type: none}}\nsecrets: {a/token: {}}\n"), policy.Env{Drivers: drivers})
	if err != nil {
		b.Fatal(err)
	}
	k := policy.Checker{Tree: policy.NewTree(p), Names: policy.NewNames(policy.NamesConfig{}), Executables: policy.NewExecutables(0)}
	k.Names.Use(p)
	return func() {
		n, _ := k.Tree.Lookup("a/token")
		at := k.Case("a/token", n)
		if at.Needs(0, 0).Power || !at.Decide(&policy.Caller{}).Allowed {
			b.Error("root may not read a secret of root's")
		}
	}
}

func record(b *testing.B) func() {
	b.Helper()
	log, err := audit.Open(audit.Config{File: b.TempDir() + "/audit.jsonl", Sync: audit.SyncInterval, Interval: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return func() {
		r := audit.Record{
			Outcome: audit.Allowed, Path: "a/token", Backend: "main", Version: fmt.Sprintf("%032d", 1),
			Exe: "/usr/bin/cat", Unit: "example.service", Rule: "mode 0400 owner",
		}
		if err := log.Append(&r); err != nil {
			b.Error(err)
		}
	}
}
