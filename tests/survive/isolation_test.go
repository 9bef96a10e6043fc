package survive

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// silent is an address where whoever connects waits for ever.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return "http://" + l.Addr().String()
}

// hanging are the secrets of which each waits for another kind of backend.
var hanging = []string{"vault", "bitwarden", "bws", "exec"}

// amongHanging mounts a sops file beside backends that do not answer.
func amongHanging(t *testing.T, keys int) *harness.Mount {
	t.Helper()
	where := silent(t)
	var plain, policy strings.Builder
	policy.WriteString("directories:\n  list: {backend: vault, prefix: kv}\nsecrets:\n")
	for i := range keys {
		fmt.Fprintf(&plain, "k%d: value %d\n", i, i)
		fmt.Fprintf(&policy, "  k%d: {backend: main}\n", i)
	}
	policy.WriteString("  vault: {backend: vault, path: kv/a, field: b}\n  bitwarden: {backend: bitwarden, item: a}\n" +
		"  bws: {backend: bws}\n  exec: {backend: exec}\n  dead: {backend: dead, item: a}\n")
	m := harness.New(t, harness.Options{
		Plain: plain.String(), Policy: policy.String(), NoMount: true,
		Head: fmt.Sprintf(`backends:
  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}
  vault: {type: vault, address: '%[1]s', timeout: 30s, auth: {method: token_file, file: token}}
  bitwarden: {type: bitwarden, server: '%[1]s', timeout: 30s, client_id: user.x, client_secret: {file: token}, password: {file: token}}
  bws: {type: bws, server: '%[1]s', timeout: 30s, access_token: {file: bws}}
  exec: {type: exec, command: [sh, -c, "sleep 1000", "{key}"], timeout: 30s}
  dead: {type: bitwarden, server: 'http://127.0.0.1:1', client_id: user.x, client_secret: {file: token}, password: {file: token}}
`, where) + "state: state\n",
	})
	write(t, m.Root+"/token", "t0ken-of-the-tests\n")
	write(t, m.Root+"/bws", "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==\n")
	m.Mount()
	return m
}

// TestHangingBackendsDelayNobodyElse has a reader wait for each kind of backend, and
// looks at everything else meanwhile, with this worker and with the next one.
func TestHangingBackendsDelayNobodyElse(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		const keys = 100
		m := amongHanging(t, keys)
		for round, when := range []string{"at first", "after a kill"} {
			var waiters []*waiter
			for _, name := range hanging {
				waiters = append(waiters, wait(t, m.Path(name)))
			}
			var slowest time.Duration
			for i := range keys / 2 { // none has been read before
				key := round*keys/2 + i
				start := time.Now()
				if got := m.Read(fmt.Sprintf("k%d", key)); got != fmt.Sprintf("value %d", key) {
					t.Errorf("%s: k%d is %q", when, key, got)
				}
				slowest = max(slowest, time.Since(start))
			}
			t.Logf("%s: the slowest of %d first reads took %s", when, keys/2, slowest)
			if slowest > time.Second {
				t.Errorf("%s: a first read took %s", when, slowest)
			}
			for _, argv := range [][]string{
				{"ls", "-l", m.Dir},
				append([]string{"stat"}, m.Path("vault"), m.Path("bitwarden"), m.Path("bws"), m.Path("exec"), m.Path("dead"), m.Path("list")),
				{"df", m.Dir},
			} {
				atOnce(t, when, argv)
			}
			start := time.Now()
			if s := m.Status(); len(s.Secrets) != keys+len(hanging)+1 || time.Since(start) > time.Second {
				t.Errorf("%s: status tells of %d secrets after %s", when, len(s.Secrets), time.Since(start))
			}
			for i, w := range waiters {
				w.waits(t, when+": "+hanging[i])
			}
			if round == 0 {
				m.KillWorker()
			}
		}
		start := time.Now()
		if _, err := os.ReadDir(m.Path("list")); !errors.Is(err, unix.ETIMEDOUT) || time.Since(start) > 4*time.Second {
			t.Errorf("listing what nobody lists: %v after %s", err, time.Since(start))
		}
	})
}

// atOnce runs a command that must not wait for a backend.
func atOnce(t *testing.T, when string, argv []string) {
	t.Helper()
	start := time.Now()
	out, err := exec.Command("timeout", append([]string{"10"}, argv...)...).CombinedOutput()
	if took := time.Since(start); err != nil || took > time.Second {
		t.Errorf("%s: %q took %s: %v\n%s", when, argv, took, err, out)
	}
}
