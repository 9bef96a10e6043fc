package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// BenchmarkHanging compares reads of a sops secret while readers wait for a Vault
// that does not answer and for commands that sleep, and a dead Bitwarden is asked
// again and again, with the same reads when nobody asks for those.
func BenchmarkHanging(b *testing.B) {
	m := amongHanging(b)
	var quiet, among [2][]time.Duration
	for b.Loop() {
		note(&quiet, read(b, m.Path("token"), 5000, -1))
		end := waitForAll(b, m)
		note(&among, read(b, m.Path("token"), 5000, -1))
		end()
	}
	for i, p := range []string{"median", "99th percentile"} {
		results.ratio(b, "open+read+close while other backends hang, "+p+"; peer: the same, nothing hanging",
			median(among[i]), median(quiet[i]), []float64{1.25, 2}[i])
	}
}

func note(to *[2][]time.Duration, s sample) {
	to[0] = append(to[0], s.P50)
	to[1] = append(to[1], s.P99)
}

// waiting is how many readers wait for each backend that hangs.
const waiting = 16

// waitForAll starts the readers and returns once they wait. They must still do so
// when they are ended, or the reads meanwhile were not among hanging backends.
func waitForAll(b *testing.B, m *harness.Mount) (end func()) {
	b.Helper()
	var readers []*exec.Cmd
	for i := range waiting {
		for _, backend := range []string{"vault", "exec"} {
			cmd := exec.Command("cat", m.Path(fmt.Sprintf("%s%d", backend, i)))
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			readers = append(readers, cmd)
		}
	}
	again := exec.Command("sh", "-c", "while :; do cat "+m.Path("dead")+"; sleep 0.1; done")
	again.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := again.Start(); err != nil {
		b.Fatal(err)
	}
	for _, r := range readers {
		harness.Eventually(b, "a reader waits", func() bool { return opens(r.Process.Pid) })
	}
	return func() {
		for _, r := range readers {
			if !opens(r.Process.Pid) {
				b.Errorf("%v does not wait any more", r.Args)
			}
			_ = r.Process.Kill()
			_ = r.Wait()
		}
		_ = syscall.Kill(-again.Process.Pid, syscall.SIGKILL)
		_ = again.Wait()
	}
}

// opens says that a process is in openat(2), proc_pid_syscall(5).
func opens(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	return strings.HasPrefix(string(text), fmt.Sprintf("%d ", syscall.SYS_OPENAT))
}

func amongHanging(b *testing.B) *harness.Mount {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and that is all
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	var policy strings.Builder
	policy.WriteString("secrets:\n  token: {backend: main}\n  dead: {backend: dead, item: a}\n")
	for i := range waiting {
		fmt.Fprintf(&policy, "  vault%[1]d: {backend: vault, path: kv/%[1]d}\n  exec%[1]d: {backend: exec}\n", i)
	}
	m := harness.New(b, harness.Options{
		Plain: "token: " + strings.Repeat("s", secretLen) + "\n", NoMount: true,
		Head: fmt.Sprintf(`state: state
backends:
  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}
  vault: {type: vault, address: 'http://%s', timeout: 10m, auth: {method: token_file, file: token}}
  exec: {type: exec, command: [sh, -c, "sleep 1000", "{key}"], timeout: 10m}
  dead: {type: bitwarden, server: 'http://127.0.0.1:1', client_id: user.x, client_secret: {file: token}, password: {file: token}}
`, l.Addr()),
		Policy: policy.String(),
	})
	if err := os.WriteFile(m.Root+"/token", []byte("t0ken-of-the-tests\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	m.Mount()
	return m
}
