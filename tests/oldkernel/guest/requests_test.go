package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

func cat(path string, who *syscall.Credential) (string, error) {
	cmd := exec.Command("cat", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// opcodes names what a cat may ask (linux/fuse.h).
var opcodes = map[string]string{
	"1": "LOOKUP", "3": "GETATTR", "14": "OPEN", "15": "READ", "17": "STATFS", "18": "RELEASE", "25": "FLUSH", "34": "ACCESS",
}

// TestRequests counts what a warm cat of a system mount asks of the worker: two
// requests where the kernel reads by itself, else four. Requests are counted by
// probes on the two functions that every one of them passes: the tracepoint
// fuse:fuse_request_send is too young.
func TestRequests(t *testing.T) {
	k, m := running(t), system(t)
	tr := probe(t)
	want := []string{"OPEN", "READ", "READ", "RELEASE"}
	if k.passthrough {
		want = []string{"OPEN", "RELEASE"}
	}
	var sent []string
	for range 3 {
		tr.clear(t)
		if out, err := cat(m.Path("a"), nil); out != "some value" {
			t.Fatalf("%v: %q", err, out)
		}
		harness.Eventually(t, "RELEASE is sent", func() bool {
			sent = tr.sent(t)
			return slices.Contains(sent, "RELEASE")
		})
	}
	slices.Sort(sent)
	if !slices.Equal(sent, want) {
		t.Errorf("a warm cat sends %v, want %v", sent, want)
	}
}

// A trace is a tracefs instance with the probes switched on.
type trace struct{ dir string }

const tracefs = "/sys/kernel/tracing"

func probe(t *testing.T) trace {
	t.Helper()
	if _, err := os.Stat(tracefs + "/kprobe_events"); err != nil {
		if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
			skip(t, "no tracefs: "+err.Error())
		}
		t.Cleanup(func() { _ = unix.Unmount(tracefs, unix.MNT_DETACH) })
	}
	tr := trace{tracefs + "/instances/guest"}
	group := "secretfs" + strings.ReplaceAll(filepath.Base(t.TempDir()), "-", "")
	// struct fuse_args has a uint64 node id and then a uint32 opcode (fs/fuse/fuse_i.h).
	// What it calls is inlined, or renamed since; __fuse_simple_request is new in 6.13.
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	function := "fuse_simple_request"
	if strings.Contains(string(symbols), " __fuse_simple_request") {
		function = "__fuse_simple_request"
	}
	args := map[string]string{"fuse_simple_request": "%si", "__fuse_simple_request": "%dx", "fuse_simple_background": "%si"}
	for _, f := range []string{function, "fuse_simple_background"} {
		event := "p:" + group + "/" + f + " " + f + " op=+8(" + args[f] + "):u32\n"
		if err := add(tracefs+"/kprobe_events", event); err != nil {
			skip(t, "no kprobe "+strings.TrimSpace(event)+": "+err.Error())
		}
		t.Cleanup(func() {
			if err := add(tracefs+"/kprobe_events", "-:"+group+"/"+f+"\n"); err != nil {
				t.Error(err)
			}
		})
	}
	if err := os.Mkdir(tr.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(tr.dir+"/events/"+group+"/enable", []byte("0"), 0)
		if err := unix.Rmdir(tr.dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(tr.dir+"/events/"+group+"/enable", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	return tr
}

// skip is for this machine's own kernel; in a guest all is there.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(envMemfd) != "" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED: " + why)
}

func add(file, line string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}

func (tr trace) clear(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(tr.dir+"/trace", nil, 0); err != nil {
		t.Fatal(err)
	}
}

var traced = regexp.MustCompile(`: \(_*fuse_simple_\w+\+.*op=(\d+)`)

func (tr trace) sent(t *testing.T) (ops []string) {
	t.Helper()
	b, err := os.ReadFile(tr.dir + "/trace")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range traced.FindAllStringSubmatch(string(b), -1) {
		name := opcodes[m[1]]
		if name == "" {
			name = "opcode " + m[1]
		}
		if name != "STATFS" { // the holder's own, once a second
			ops = append(ops, name)
		}
	}
	return ops
}
