package survive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

func stateHead(m *harness.Mount) string {
	return fmt.Sprintf("state: %s/state\nbackends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n", m.Root)
}

// workerWrites tries to write a file as the worker could.
func workerWrites(m *harness.Mount, dir string) error {
	pid := m.Status().WorkerPID
	out, err := exec.Command("nsenter", "-t", fmt.Sprint(pid), "-m", "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin",
		"sh", "-c", `: > "$1"/probe && rm "$1"/probe`, "sh", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// untilWritable waits for a worker that may write to dir.
func untilWritable(t *testing.T, m *harness.Mount, dir string) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := workerWrites(m, dir)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		m.Read("a") // goes on all the while
		time.Sleep(50 * time.Millisecond)
	}
}

// TestStateDirectory: the worker may write to the state directory beside the
// audit log's folder, and to nothing else, also when either is put anew.
func TestStateDirectory(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true})
	state := m.Root + "/state"
	m.WritePolicy(harness.Options{Head: stateHead(m)})
	m.Mount()
	info, err := os.Stat(state)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Fatalf("the state directory: %v, %v", info, err)
	}
	if err := workerWrites(m, state); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{m.Root, "/", "/etc", "/var/lib"} {
		if err := workerWrites(m, dir); err == nil || !strings.Contains(err.Error(), "Read-only file system") {
			t.Errorf("writing to %s: %v", dir, err)
		}
	}
	m.KillWorker()
	m.Read("a")
	if err := workerWrites(m, state); err != nil {
		t.Errorf("the next worker: %v", err)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	untilWritable(t, m, state)
	if err := errors.Join(os.Rename(state, state+".old"), os.Mkdir(state, 0o700)); err != nil {
		t.Fatal(err)
	}
	untilWritable(t, m, state)
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
}

// TestStateDirectoryMadeLater: a reload may bring the need for one.
func TestStateDirectoryMadeLater(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	f, err := os.Open(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.WritePolicy(harness.Options{Head: stateHead(m)})
	m.Must("reload")
	untilWritable(t, m, m.Root+"/state")
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
	if b, err := io.ReadAll(f); string(b) != "one" {
		t.Errorf("a file that was open: %q, %v", b, err)
	}
}

// TestStateDirectoryIsAFile: what cannot be had is said, and everything is served
// all the same.
func TestStateDirectoryIsAFile(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{Plain: "a: one\n", NoMount: true})
	write(t, m.Root+"/state", "in the way")
	m.WritePolicy(harness.Options{Head: stateHead(m)})
	m.Mount()
	if got := m.Read("a"); got != "one" {
		t.Errorf("got %q", got)
	}
	if log := m.Log(); !strings.Contains(log, "making the state directory") || !strings.Contains(log, m.Root+"/state") {
		t.Errorf("log: %s", log)
	}
	if restarts := m.Status().Restarts; restarts != 0 {
		t.Errorf("%d restarts", restarts)
	}
}
