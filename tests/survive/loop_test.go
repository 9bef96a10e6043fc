package survive

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/fs/mount"
	"github.com/secretfs/secretfs/tests/harness"
)

// The test binary as a secretfs whose workers are broken.
func init() {
	roles["version"] = func([]string) int {
		fmt.Println("secretfs with a broken worker")
		return 0
	}
	roles["holder"] = func(args []string) int {
		err := mount.Run(mount.Config{
			WorkerArgs: []string{"worker", args[0]},
			Log:        slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			slog.Error("holding the mount", "error", err)
			return 1
		}
		return 0
	}
	roles["worker"] = func([]string) int { return 7 }
}

func brokenProgram(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCrashLoopEnds upgrades to a program whose workers end at once. The worker
// before the upgrade serves on; when it dies too, readers get an error instead
// of a hang, the directory is a directory again and the holder says so.
func TestCrashLoopEnds(t *testing.T) {
	m := unmountedStuck(t, "60s")
	holder := m.Start()
	ended := make(chan error, 1)
	go func() { ended <- holder.Wait() }()
	before := m.Status()
	if out, err := m.Run("upgrade", "--program", brokenProgram(t)); err == nil || !strings.Contains(out, "upgrading: worker keeps dying: the last one: worker ended with exit code 7") {
		t.Errorf("secretfs upgrade: %v\n%s", err, out)
	}
	if got := m.Read("good"); got != "fine" {
		t.Errorf("after the upgrade that did not work: %q", got)
	}
	if now := m.Status(); now.WorkerPID != before.WorkerPID || now.HolderPID != before.HolderPID {
		t.Errorf("before %+v, now %+v", before, now)
	}
	w := wait(t, m.Path("slow"))
	kill(t, before.WorkerPID, syscall.SIGKILL)
	if err := w.end(t, 20*time.Second); err == nil {
		t.Error("a waiting reader got an answer")
	}
	select {
	case err := <-ended:
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
			t.Errorf("the holder ended with %v, want exit code 1", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the holder goes on")
	}
	if n := mountsOn(t, m.Dir); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
	if entries, err := os.ReadDir(m.Dir); err != nil || len(entries) > 0 {
		t.Errorf("the mount point: %v, %v", entries, err)
	}
	if !strings.Contains(m.Log(), "worker keeps dying") {
		t.Errorf("the log says:\n%s", m.Log())
	}
	if _, err := os.Stat(m.Control); err == nil {
		t.Error("the control socket is left")
	}
}

// TestWorkerBlockedInItsOwnMount lets a backend read a file of the very mount: a
// thread of the worker then waits for the worker in D state, and keeps the
// killed process from being reaped until the next one answers.
func TestWorkerBlockedInItsOwnMount(t *testing.T) {
	m := harness.New(t, harness.Options{
		Plain: "good: fine\n",
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  loop: {type: sops, file: view/self.yaml, timeout: 3s, age: {key_files: [keys.txt]}}\n",
		Policy: "secrets:\n  good: {backend: main}\n  self.yaml: {backend: loop, key: x}\n",
		// Bind mounts that are made later reach the worker's namespace only
		// where mounts propagate, as they do under systemd.
		Wrap: []string{"unshare", "-m", "--propagation", "shared"}, NoMount: true,
	})
	m.Mount()
	s := m.Status()
	inside := fmt.Sprintf("/proc/%d/root%s", s.HolderPID, m.Dir)
	if err := os.Mkdir(m.Root+"/view", 0o755); err != nil {
		t.Fatal(err)
	}
	nsenter := []string{"nsenter", "-t", fmt.Sprint(s.HolderPID), "-m", "mount", "--bind", m.Dir, m.Root + "/view"}
	if out, err := exec.Command(nsenter[0], nsenter[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", nsenter, err, out)
	}
	w := startRead(t, inside+"/self.yaml")
	harness.Eventually(t, "a thread of the worker waits in its own mount", func() bool { return waitsForFuse(s.WorkerPID) })
	kill(t, s.WorkerPID, syscall.SIGKILL)
	harness.Eventually(t, "another worker serves", func() bool { return m.Status().WorkerPID != s.WorkerPID })
	out, err := exec.Command("timeout", "10", "cat", inside+"/good").CombinedOutput()
	if err != nil || string(out) != "fine" {
		t.Errorf("%v, %q", err, out)
	}
	if err := w.end(t, 20*time.Second); err == nil {
		t.Errorf("the reader of the loop got %q", w.out.String())
	}
	harness.Eventually(t, "the killed worker is reaped", func() bool { return syscall.Kill(s.WorkerPID, 0) != nil })
}

// waitsForFuse says that a thread of pid is in open(2) or read(2) of a FUSE file.
func waitsForFuse(pid int) bool {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stack", pid, task.Name()))
		if strings.Contains(string(b), "request_wait_answer") {
			return true
		}
	}
	return false
}
