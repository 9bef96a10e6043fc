package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy/conf"
)

func BenchmarkParse(b *testing.B) {
	doc := bigJSON(10_000)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := conf.Parse("big.json", doc); problems.Err() != nil {
			b.Fatal(problems)
		}
	}
}

// bigJSON is a policy as Nix writes it: all on one line.
func bigJSON(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"backends":{"main":{"type":"sops","file":"secrets.yaml"}},"secrets":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"service-%03d/secret-%05d":{"backend":"main","key":"service-%03d/a-rather-long-name/secret-%05d","owner":"service-%03d","group":"service-%03d","mode":"0440",`+
			`"only":{"units":["service-%03d.service","another-unit-of-that-service-%03d.service"],"users":null},"gid":null,"uid":null}`, i%100, i, i%100, i, i%100, i%100, i%100, i%100)
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}
