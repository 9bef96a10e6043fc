package survive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// stuck serves one file as it should be, and one from a FIFO that nobody writes
// to.
func stuck(t *testing.T, timeout string) *harness.Mount {
	t.Helper()
	m := unmountedStuck(t, timeout)
	m.Mount()
	return m
}

func unmountedStuck(t *testing.T, timeout string) *harness.Mount {
	t.Helper()
	m := harness.New(t, harness.Options{
		Plain: "good: fine\nslow: at last\n", NoMount: true,
		Head: fmt.Sprintf("backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n"+
			"  stuck: {type: sops, file: fifo.yaml, timeout: %s, age: {key_files: [keys.txt]}}\n", timeout),
		Policy: "secrets:\n  good: {backend: main}\n  slow: {backend: stuck}\n",
	})
	if err := syscall.Mkfifo(m.Root+"/fifo.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// A waiter is a process that waits for a secret.
type waiter struct {
	cmd   *exec.Cmd
	out   strings.Builder
	ended chan error
}

// wait starts a reader and returns once it waits in open(2).
func wait(t *testing.T, path string) *waiter {
	t.Helper()
	w := startRead(t, path)
	harness.Eventually(t, "the reader waits in open(2)", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", w.cmd.Process.Pid))
		return strings.HasPrefix(string(b), fmt.Sprintf("%d ", syscall.SYS_OPENAT))
	})
	return w
}

func startRead(t *testing.T, path string) *waiter {
	t.Helper()
	w := &waiter{cmd: exec.Command("cat", path), ended: make(chan error, 1)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { w.ended <- w.cmd.Wait() }()
	t.Cleanup(func() { _ = w.cmd.Process.Kill() })
	return w
}

// waits fails the test if the reader has ended.
func (w *waiter) waits(t *testing.T, what string) {
	t.Helper()
	select {
	case err := <-w.ended:
		t.Fatalf("%s: the reader has ended: %v, %s", what, err, w.out.String())
	default:
	}
}

// end returns how the reader ended, within a bound that is far from any
// deadline.
func (w *waiter) end(t *testing.T, bound time.Duration) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(bound):
		t.Fatalf("the reader still waits after %s", bound)
		return nil
	}
}

func endedBy(err error, s syscall.Signal) bool {
	var ended *exec.ExitError
	return errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == s
}

func TestStuckBackendDelaysNobodyElse(t *testing.T) {
	m := stuck(t, "60s")
	w := wait(t, m.Path("slow"))
	for _, argv := range [][]string{
		{"ls", "-l", m.Dir},
		{"stat", m.Path("slow")},
		{"stat", m.Path("good")},
		{"cat", m.Path("good")},
		{"find", m.Dir, "-type", "f"},
		{"df", m.Dir},
		{"getfattr", "-d", m.Path("slow")},
		{"test", "-r", m.Path("slow")},
	} {
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Logf("skipping %s, which is not installed", argv[0])
			continue
		}
		if out, err := exec.Command("timeout", append([]string{"10"}, argv...)...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", argv, err, out)
		}
	}
	if s := m.Status(); len(s.Secrets) != 2 {
		t.Errorf("status has %+v", s.Secrets)
	}
	w.waits(t, "after all that")
	kill(t, w.cmd.Process.Pid, syscall.SIGINT)
	if err := w.end(t, 5*time.Second); !endedBy(err, syscall.SIGINT) {
		t.Errorf("after SIGINT: %v", err)
	}
	w = wait(t, m.Path("slow"))
	kill(t, w.cmd.Process.Pid, syscall.SIGKILL)
	if err := w.end(t, 5*time.Second); !endedBy(err, syscall.SIGKILL) {
		t.Errorf("after SIGKILL: %v", err)
	}
}

func TestStuckBackendTimesOut(t *testing.T) {
	m := stuck(t, "1s")
	w := wait(t, m.Path("slow"))
	if err := w.end(t, 10*time.Second); err == nil || !strings.Contains(w.out.String(), "Connection timed out") {
		t.Errorf("%v, %q; want ETIMEDOUT", err, w.out.String())
	}
	if _, err := os.ReadFile(m.Path("slow")); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("the next one: %v", err)
	}
	last := m.Audit()[len(m.Audit())-1]
	if last.Outcome != "error" || last.Errno != "ETIMEDOUT" || last.Path != "slow" {
		t.Errorf("recorded as %+v", last)
	}
}

// TestInterruptPendingAtTheKill interrupts a reader whose worker is killed at
// the same moment, in both orders.
func TestInterruptPendingAtTheKill(t *testing.T) {
	m := stuck(t, "60s")
	for _, first := range []string{"interrupt", "kill"} {
		w := wait(t, m.Path("slow"))
		worker := m.Status().WorkerPID
		kill(t, worker, syscall.SIGSTOP) // it must not answer
		if first == "interrupt" {
			kill(t, w.cmd.Process.Pid, syscall.SIGINT)
		}
		kill(t, worker, syscall.SIGKILL)
		if first == "kill" {
			kill(t, w.cmd.Process.Pid, syscall.SIGINT)
		}
		if err := w.end(t, 10*time.Second); !endedBy(err, syscall.SIGINT) {
			t.Errorf("%s first: %v, %s", first, err, w.out.String())
		}
	}
}

// TestOpensInFlightAtTheKill kills the worker under readers that wait for it;
// the next one can serve them.
func TestOpensInFlightAtTheKill(t *testing.T) {
	m := stuck(t, "60s")
	var waiters []*waiter
	for range 5 {
		waiters = append(waiters, wait(t, m.Path("slow")))
	}
	m.KillWorker()
	for _, w := range waiters {
		w.waits(t, "after the kill")
	}
	if err := os.Rename(m.Secrets, m.Root+"/fifo.yaml"); err != nil {
		t.Fatal(err)
	}
	m.KillWorker()
	for _, w := range waiters {
		if err := w.end(t, 20*time.Second); err != nil || w.out.String() != "at last" {
			t.Errorf("%v, %q", err, w.out.String())
		}
	}
	resent := 0
	for _, r := range m.Audit() {
		if r.Resent && r.Path == "slow" && r.Outcome == "allowed" {
			resent++
		}
	}
	if resent != len(waiters) {
		t.Errorf("%d reads are recorded as resent, want %d", resent, len(waiters))
	}
	m.VerifyAudit()
}

func TestStoppedWorkerIsReplaced(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	before := m.Status()
	kill(t, before.WorkerPID, syscall.SIGSTOP)
	w := startRead(t, m.Path("a"))
	if err := w.end(t, 20*time.Second); err != nil || w.out.String() != "one" {
		t.Errorf("%v, %q", err, w.out.String())
	}
	if now := m.Status(); now.WorkerPID == before.WorkerPID || now.Restarts != before.Restarts+1 || now.HolderPID != before.HolderPID {
		t.Errorf("before %+v, now %+v", before, now)
	}
	if !strings.Contains(m.Log(), "no answer to statfs within 3s") {
		t.Errorf("the log says:\n%s", m.Log())
	}
}

// TestReleaseWhileNobodyServes closes files while the worker is stopped and then
// dies, some with RELEASE in hand: what it has not heard of must not keep the file busy, or a bind mount
// of the file would stay with the old version.
func TestReleaseWhileNobodyServes(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	file := m.Root + "/file"
	bind(t, m.Path("a"), file, false)
	for i := range 3 {
		for range 10 {
			worker := m.Status().WorkerPID
			f := open(t, file)
			kill(t, worker, syscall.SIGSTOP)
			f.Close()
			kill(t, worker, syscall.SIGKILL)
			harness.Eventually(t, "another worker serves", func() bool { return m.Status().WorkerPID != worker })
		}
		want := fmt.Sprintf("value %d", i)
		m.Rotate("a: "+want+"\n", "a", want)
		harness.Eventually(t, "the bind mount has "+want, func() bool {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Errorf("reading the bind mount: %v", err)
			}
			return string(b) == want
		})
	}
}

// TestListingAcrossKills loses no name and doubles none.
func TestListingAcrossKills(t *testing.T) {
	var plain strings.Builder
	const names = 1500
	for i := range names {
		fmt.Fprintf(&plain, "a-name-that-is-rather-long-%04d: x\n", i)
	}
	m := harness.New(t, harness.Options{Plain: plain.String()})
	dir := open(t, m.Dir)
	seen := make(map[string]int)
	for kills := 0; ; {
		batch, err := dir.Readdirnames(100)
		for _, name := range batch {
			seen[name]++
		}
		if len(batch) == 0 {
			if err == nil || kills < 3 {
				t.Errorf("listing ended with %v after %d kills", err, kills)
			}
			break
		}
		if len(seen)/400 > kills {
			kills++
			m.KillWorker()
		}
	}
	if len(seen) != names {
		t.Errorf("%d names, want %d", len(seen), names)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s was listed %d times", name, n)
		}
	}
}
