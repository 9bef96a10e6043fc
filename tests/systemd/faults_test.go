package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// killed kills a process of the machine.
func (s *service) kill(pid int) {
	s.t.Helper()
	s.must(s.t, "kill", "-KILL", fmt.Sprint(pid))
}

// stored counts what lies in the unit's descriptor store.
func (s *service) stored() int {
	s.t.Helper()
	n, err := strconv.Atoi(s.show(s.t, s.name+".service", "NFileDescriptorStore"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestPID1BlockedOnTheMount has PID 1 itself wait for a secret that never comes,
// as it does for EnvironmentFile=, and the worker killed meanwhile. Nobody but
// us can then start another one, and PID 1 goes on in time.
func TestPID1BlockedOnTheMount(t *testing.T) {
	s := install(t, "blocks", options{
		plain:    "a: one\n",
		backends: "  stuck: {type: sops, file: fifo.yaml, timeout: 60s, age: {key_files: [keys.txt]}}\n",
		secrets:  "secrets:\n  a: {backend: main}\n  slow: {backend: stuck}\n",
	})
	if err := syscall.Mkfifo(s.machine.dir+"/blocks/fifo.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	s.unit(t, "needy.service", "[Service]\nType=oneshot\nEnvironmentFile="+s.dir+"/slow\nExecStart=/bin/true\n")
	s.unit(t, "other.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
	s.start(t, "blocks.service")
	worker := s.status().WorkerPID
	asked := make(chan struct{})
	go func() { // PID 1 does not answer while it waits
		defer close(asked)
		_, _ = s.run("systemctl", "start", "--no-block", "needy.service")
	}()
	harness.Eventually(t, "PID 1 waits in open(2)", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", s.init))
		return strings.Contains(string(b), "request_wait_answer")
	})
	s.kill(worker)
	s.start(t, "other.service")
	<-asked
	if now := s.status(); now.WorkerPID == worker {
		t.Error("the worker is the same")
	}
	harness.Eventually(t, "the unit has failed", func() bool { return s.show(t, "needy.service", "ActiveState") == "failed" })
	if !s.recorded(harness.Record{Path: "slow", Outcome: "error", Errno: "ETIMEDOUT", Exe: "systemd", Unit: "init.scope"}) {
		t.Error("what PID 1 was told is not recorded")
	}
	if got := s.must(t, "cat", s.dir+"/a"); got != "one" {
		t.Errorf("another secret: %q", got)
	}
}

// reader is a unit that reads a secret over and over; every failure is a line.
const reader = `[Service]
ExecStart=/bin/sh -c 'while :; do cat %[1]s/a >/dev/null 2>>%[2]s/failures || echo failed >>%[2]s/failures; echo >>%[2]s/reads; done'
`

// TestHolderKilled kills the holder, and with it, as systemd does it, the
// worker. What the descriptor store has kept goes to the next one: readers wait,
// and open files and bind mounts go on.
func TestHolderKilled(t *testing.T) {
	for _, mode := range []string{"mixed", "process"} {
		t.Run(mode, func(t *testing.T) {
			name := "revives-" + mode
			s := started(t, name, options{
				plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n", settings: "KillMode=" + mode,
			})
			s.unit(t, name+"-reader.service", fmt.Sprintf(reader, s.dir, s.in("")))
			s.unit(t, name+"-held.service", fmt.Sprintf("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exec 3<%s/a; until [ -e %[2]s ]; do sleep 0.1; done; cat <&3 >%[3]s'\n",
				s.dir, s.in("go"), s.in("held")))
			s.must(t, "sh", "-c", fmt.Sprintf("mkdir /run/%s-dir && mount --bind %s /run/%[1]s-dir && : >/run/%[1]s-file && mount --bind %[2]s/a /run/%[1]s-file", name, s.dir))
			t.Cleanup(func() { _, _ = s.run("sh", "-c", fmt.Sprintf("umount -l /run/%s-dir /run/%[1]s-file", name)) })
			s.start(t, name+"-reader.service")
			if out, err := s.systemctl("start", "--no-block", name+"-held.service"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			harness.Eventually(t, "the file is open", func() bool { return len(s.audit()) > 3 })
			mountID := s.must(t, "findmnt", "-no", "ID", s.dir)
			for round, value := range []string{"two", "three"} {
				before := s.status()
				harness.Eventually(t, "the store holds all", func() bool { return s.stored() >= 7 })
				s.kill(before.HolderPID)
				harness.Eventually(t, "the next holder serves", func() bool {
					out, err := s.run(inside+"/secretfs", "status", "--policy", s.in("policy.yaml"))
					return err == nil && !strings.Contains(out, fmt.Sprint("pid ", before.HolderPID)) && !strings.Contains(out, "died")
				})
				if got := s.show(t, name+".service", "NRestarts"); got != fmt.Sprint(round+1) {
					t.Errorf("NRestarts is %s", got)
				}
				if got := s.must(t, "findmnt", "-no", "ID", s.dir); got != mountID {
					t.Errorf("mount %s has become %s", mountID, got)
				}
				s.encrypt("a: " + value + "\n")
				for _, path := range []string{s.dir + "/a", "/run/" + name + "-dir/a", "/run/" + name + "-file"} {
					harness.Eventually(t, path+" has its new value", func() bool {
						out, err := s.run("cat", path)
						if err != nil {
							t.Errorf("%s: %v", path, err)
						}
						return out == value || path == "/run/"+name+"-file" && out == "one" // while the old one is open
					})
				}
			}
			s.file(t, name+"/go", "")
			harness.Eventually(t, "who had the file open has read it", func() bool { return s.read(name+"/held") != "" })
			if got := s.read(name + "/held"); got != "one" {
				t.Errorf("the file that was open all along: %q", got)
			}
			harness.Eventually(t, "the file's bind mount has the last value", func() bool {
				out, _ := s.run("cat", "/run/"+name+"-file")
				return out == "three"
			})
			if got := s.read(name + "/failures"); got != "" {
				t.Errorf("reads failed: %s", got)
			}
			if n := strings.Count(s.read(name+"/reads"), "\n"); n < 10 {
				t.Errorf("only %d reads", n)
			}
			if out, err := s.run(inside+"/secretfs", "audit", "verify", "--file", s.in("log/audit.jsonl")); err != nil {
				t.Errorf("secretfs audit verify: %v\n%s", err, out)
			}
			s.must(t, "systemctl", "stop", name+"-reader.service", name+".service")
			if n := s.stored(); n != 0 {
				t.Errorf("%d descriptors are stored after a stop", n)
			}
		})
	}
}
