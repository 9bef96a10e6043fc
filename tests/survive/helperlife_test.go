package survive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestHelperStorm opens secrets of many backends at once. All are answered, and
// never do more than 16 helpers run.
func TestHelperStorm(t *testing.T) {
	harness.NeedRoot(t)
	const backends, most = 24, 16
	p := newProbe(t)
	m := p.mounted(t, harness.Options{}, "")
	var head, secrets strings.Builder
	for i := range backends {
		name := fmt.Sprintf("b%d", i)
		write(t, m.Root+"/"+name, p.identity(name))
		fmt.Fprintf(&head, "  %s: {type: sops, file: secrets.yaml, timeout: 60s, age: {key_files: [%s], plugins_path: %s}}\n", name, name, p.dir)
		fmt.Fprintf(&secrets, "  %s: {backend: %s, key: a}\n", name, name)
	}
	m.WritePolicy(harness.Options{Head: "backends:\n" + head.String(), Policy: "secrets:\n" + secrets.String()})
	p.hold(t)
	defer p.release()
	m.Mount()
	var reads []<-chan read
	for i := range backends {
		reads = append(reads, readLater(m, fmt.Sprintf("b%d", i)))
	}
	running := func() int {
		traces, _ := filepath.Glob(p.dir + "/b*.status")
		return len(traces)
	}
	harness.Eventually(t, "as many run as may", func() bool { return running() >= most })
	time.Sleep(300 * time.Millisecond) // for any more to show
	if n := running(); n != most {
		t.Errorf("%d plugins run, want %d", n, most)
	}
	p.release()
	for i, r := range reads {
		if r := <-r; r.err != nil || r.text != "helped" {
			t.Errorf("b%d: %q, %v", i, r.text, r.err)
		}
	}
}

// TestHelperGoesWithWorker: nobody waits for it any more, so it goes with all
// that it has started.
func TestHelperGoesWithWorker(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		p := newProbe(t)
		m := p.mounted(t, harness.Options{}, "")
		p.hold(t)
		defer p.release()
		m.Mount()
		got := readLater(m, "a")
		harness.Eventually(t, "the plugin runs", func() bool { return p.pid("trace") != 0 && p.child() != 0 })
		running, child := p.pid("trace"), p.child()
		if !runs(running) || !runs(child) {
			t.Fatalf("plugin %d and its child %d do not run", running, child)
		}
		m.KillWorker()
		harness.Eventually(t, "plugin and child are gone", func() bool { return !runs(running) && !runs(child) })
		p.release()
		if r := <-got; r.text != "helped" {
			t.Errorf("got %q, %v", r.text, r.err)
		}
	})
}

// TestHelperOutlivesUpgrade: the next holder reaps the helpers of the one
// before, whose answers reach the worker that has asked.
func TestHelperOutlivesUpgrade(t *testing.T) {
	p := newProbe(t)
	m := p.mounted(t, harness.Options{}, "")
	p.hold(t)
	defer p.release()
	m.Mount()
	got := readLater(m, "a")
	harness.Eventually(t, "the plugin runs", func() bool { return p.pid("trace") != 0 && p.child() != 0 })
	child := p.child()
	helper := field(t, fmt.Sprintf("/proc/%d", p.pid("trace")), "PPid")
	m.Must("upgrade")
	p.release()
	if r := <-got; r.text != "helped" {
		t.Errorf("got %q, %v", r.text, r.err)
	}
	harness.Eventually(t, "the helper is reaped, its group gone", func() bool {
		_, err := os.Stat("/proc/" + helper)
		return err != nil && !runs(child)
	})
}
