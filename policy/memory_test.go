package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

// bigPolicy is a policy of n secrets as Nix writes it: JSON on one line, with
// nulls for what is not set. Every hundred of them share owner and rules.
func bigPolicy(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"backends":{"main":{"type":"sops","file":"secrets.yaml"}},"secrets":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		s := i % 100
		fmt.Fprintf(&b, `"service-%03d/secret-%06d":{"backend":"main","gid":null,"group":"service-%03d","key":"service-%03d/some-long-name/secret-%06d","mode":"0440",`+
			`"only":{"units":["service-%03d.service","service-%03d-other.service"],"users":null},"owner":"service-%03d","uid":null}`, s, i, s, s, i, s, s, s)
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}

func load(tb testing.TB, data []byte) *policy.Tree {
	p, err := policy.Parse("/etc/secretfs/policy.json", data, policy.Env{Drivers: drivers})
	if err != nil {
		tb.Fatal(err)
	}
	return policy.NewTree(p)
}

// A policy and its tree are small beside the 24 MiB that a worker may take:
// 3 MiB for 10,000 secrets, and in proportion for more.
func TestMemory(t *testing.T) {
	const limit = 3 << 20 / 10_000
	for _, n := range []int{10_000, 100_000} {
		data := bigPolicy(n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tree := load(t, data)
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := int(after.HeapAlloc-before.HeapAlloc) / n
		t.Logf("%d secrets: %d bytes each", n, each)
		if each > limit {
			t.Errorf("%d secrets cost %d bytes each; the limit is %d", n, each, limit)
		}
		if _, ok := tree.Lookup("service-000/secret-000000"); !ok {
			t.Error("the first secret is not in the tree")
		}
		runtime.KeepAlive(data)
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		data := bigPolicy(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				load(b, data)
			}
		})
	}
}
