package survive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// fill writes to a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
}

func TestAuditDiskFull(t *testing.T) {
	m := unmounted(t)
	dir := m.Root + "/log"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting the full disk: %v", err)
		}
	})
	t.Cleanup(m.Unmount)
	m.Mount()
	if got := m.Read("a"); got != "one" {
		t.Fatalf("got %q", got)
	}
	for _, when := range []string{"before", "after"} {
		fill(t, dir+"/ballast")
		harness.Eventually(t, "reads are refused", func() bool { // what was begun has room yet
			_, err := os.ReadFile(m.Path("a"))
			return errors.Is(err, syscall.EIO)
		})
		if when == "after" {
			m.KillWorker()
			if _, err := os.ReadFile(m.Path("a")); !errors.Is(err, syscall.EIO) {
				t.Errorf("the next worker: %v, want EIO", err)
			}
		}
		if _, err := os.Stat(m.Path("a")); err != nil {
			t.Errorf("stat: %v", err)
		}
		if notices := strings.Join(m.Status().Notices, "\n"); !strings.Contains(notices, "no space left on device") {
			t.Errorf("status says %q", notices)
		}
		if err := os.Remove(dir + "/ballast"); err != nil {
			t.Fatal(err)
		}
		if got := m.Read("a"); got != "one" {
			t.Errorf("after there is room again: %q", got)
		}
		m.VerifyAudit()
	}
}

// TestLogrotate has the real logrotate rotate the log three times, by rename and
// SIGHUP, with reads and kills in between.
func TestLogrotate(t *testing.T) {
	if _, err := exec.LookPath("logrotate"); err != nil {
		t.Skip("SKIPPED: logrotate is not installed")
	}
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	config := m.Root + "/logrotate.conf"
	text := fmt.Sprintf("%s {\n\trotate 9\n\tnocreate\n\tmissingok\n\tsu root root\n\tpostrotate\n\t\tkill -HUP %d\n\tendscript\n}\n", m.AuditLog, m.Status().HolderPID)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := 0
	read := func() {
		for range 5 {
			m.Read("a")
			reads++
		}
	}
	for i := range 3 {
		read()
		out, err := exec.Command("logrotate", "--force", "--state", m.Root+"/logrotate.state", config).CombinedOutput()
		if err != nil {
			t.Fatalf("logrotate: %v\n%s", err, out)
		}
		read()
		harness.Eventually(t, "the new log is there", func() bool {
			_, err := os.Stat(m.AuditLog)
			return err == nil
		})
		if i == 1 {
			m.KillWorker()
		}
	}
	m.Unmount()
	harness.Eventually(t, "it is unmounted", func() bool { return mountsOn(t, m.Dir) == 0 })
	m.Mount()
	read()
	lines := 0
	for _, name := range []string{"", ".1", ".2", ".3"} {
		b, err := os.ReadFile(m.AuditLog + name)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(b), `"outcome":"allowed"`)
	}
	if lines != reads {
		t.Errorf("%d reads are recorded, there were %d", lines, reads)
	}
	m.VerifyAudit()
}

// TestAuditLogDeleted takes away the file, then its folder: what follows is
// recorded in a new one, or refused.
func TestAuditLogDeleted(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: "a: one\n"})
	m.Read("a")
	if err := os.Remove(m.AuditLog); err != nil {
		t.Fatal(err)
	}
	if got := m.Read("a"); got != "one" {
		t.Errorf("after the file is gone: %q", got)
	}
	if n := len(m.Audit()); n == 0 {
		t.Error("a read after the file was deleted is not recorded")
	}
	if err := os.RemoveAll(m.Root + "/log"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a read is allowed and recorded", func() bool {
		_, err := os.ReadFile(m.Path("a"))
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Errorf("without the folder: %v, want EIO", err)
		}
		_, statErr := os.Stat(m.AuditLog)
		if err == nil && statErr != nil {
			t.Fatal("a read was allowed that is nowhere recorded")
		}
		return err == nil
	})
}

// TestAuditFolderReplaced puts a file where the folder was: reads are refused, by
// this worker and by the next ones, and the mount lives until the folder is back.
func TestAuditFolderReplaced(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{Plain: "a: one\n"})
		m.Read("a")
		dir := m.Root + "/log"
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		refused := func(when string) {
			t.Helper()
			if b, err := os.ReadFile(m.Path("a")); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %q, %v, want EIO", when, b, err)
			}
			if _, err := os.Stat(m.Path("a")); err != nil {
				t.Errorf("%s: stat: %v", when, err)
			}
			notices := strings.Join(m.Status().Notices, "\n")
			want := "reads are refused, because they cannot be recorded: opening audit log: open " + m.AuditLog + ": not a directory"
			if !strings.Contains(notices, want) {
				t.Errorf("%s: status says %q, want %q", when, notices, want)
			}
		}
		refused("the worker of before")
		m.KillWorker()
		refused("the next worker")
		m.KillWorker()
		m.Must("upgrade")
		refused("the next holder's worker")
		if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		heals(t, m)
		if err := os.RemoveAll(dir); err != nil { // made again by the next worker
			t.Fatal(err)
		}
		m.KillWorker()
		heals(t, m)
		m.VerifyAudit()
	})
}

func heals(t *testing.T, m *harness.Mount) {
	t.Helper()
	harness.Eventually(t, "it heals", func() bool {
		b, err := os.ReadFile(m.Path("a"))
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Errorf("%v, want EIO", err)
		}
		return string(b) == "one"
	})
	for _, n := range m.Status().Notices {
		if strings.Contains(n, "reads are refused") {
			t.Errorf("status says %q", n)
		}
	}
	if n := len(m.Audit()); n == 0 {
		t.Error("the read is not recorded")
	}
}

// TestNoAuditFolderAtStart is an error while nobody relies on the mount yet.
func TestNoAuditFolderAtStart(t *testing.T) {
	m := unmounted(t)
	if err := os.WriteFile(m.Root+"/log", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := m.TryMount()
	var exit *exec.ExitError
	want := "making the folder of the audit log: mkdir " + m.Root + "/log: not a directory"
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, want) {
		t.Errorf("%v, want exit code 1 and %q:\n%s", err, want, out)
	}
	if n := mountsOn(t, m.Dir); n != 0 {
		t.Errorf("%d mounts are left", n)
	}
}
