package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

const secretLen = 64

func token(t testing.TB) *harness.Mount {
	return harness.New(t, harness.Options{
		Plain:  "token: " + strings.Repeat("s", secretLen) + "\n",
		Policy: "secrets:\n  token: {backend: main}\n",
	})
}

// BenchmarkOpenReadClose is the loop of a program that reads its secret again
// and again, the caller checked and every read audited.
func BenchmarkOpenReadClose(b *testing.B) {
	peer, static := newStatic(b)
	m := token(b)
	worker, ours := m.Status().WorkerPID, m.Path("token")
	for _, place := range []struct {
		name string
		cpu  int
	}{{"one processor", 0}, {"free", -1}} {
		b.Run(strings.ReplaceAll(place.name, " ", "-"), func(b *testing.B) {
			pinAll(b, worker, place.cpu)
			pinAll(b, peer, place.cpu)
			var secrets, statics []time.Duration
			for b.Loop() {
				const n = 5000
				statics = append(statics, read(b, static, n, place.cpu).P50)
				secrets = append(secrets, read(b, ours, n, place.cpu).P50)
			}
			results.ratio(b, fmt.Sprintf("open+read+close of 64 bytes, %s; peer: static passthrough file, no check, no audit", place.name),
				median(secrets), median(statics), 3)
		})
	}
}
