package survive

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

const secrets = 4

func plain(version int) string {
	var b strings.Builder
	for i := range secrets {
		fmt.Fprintf(&b, "s%d: %s\n", i, value(version))
	}
	return b.String()
}

// TestReadersInAStorm has eight readers read, on every way there is, while
// workers are killed five times a second and the program is upgraded, the policy
// reloaded and the sops file rotated in between.
func TestReadersInAStorm(t *testing.T) {
	m := harness.New(t, harness.Options{Plain: plain(0)})
	dir, file := m.Root+"/dir", m.Root+"/file"
	bind(t, m.Dir, dir, true)
	bind(t, m.Path("s0"), file, false)
	before := open(t, m.Path("s1"))

	var readers []*reader
	for i := range 8 {
		switch from := m.Dir; {
		case i == 7:
			readers = append(readers, startReader(t, file))
		case i >= 5:
			from = dir
			fallthrough
		default:
			readers = append(readers, startReader(t, from+"/s0", from+"/s1", from+"/s2", from+"/s3"))
		}
	}
	length := 30 * time.Second
	if testing.Short() {
		length = 6 * time.Second
	}
	last, kills := storm(t, m, length)

	tallies := make(map[int]tally)
	total := 0
	for _, r := range readers {
		n := r.stop(t)
		tallies[n.PID] = n
		for _, reads := range n.Reads {
			total += reads
		}
		if len(n.Failed) > 0 {
			t.Errorf("%d reads failed, the first: %s", len(n.Failed), n.Failed[0])
		}
		if len(n.Torn) > 0 {
			t.Errorf("%d reads are torn, the first: %s", len(n.Torn), n.Torn[0])
		}
		if n.Slowest > 2*time.Second {
			t.Errorf("a reader has waited for %s", n.Slowest)
		}
	}
	t.Logf("%d reads, %d kills", total, kills)
	if seconds := int(length.Seconds()); total < 100*seconds || kills < seconds {
		t.Errorf("%d reads and %d kills in %s are no storm", total, kills, length)
	}
	if rest, err := io.ReadAll(before); err != nil || string(rest) != value(0) {
		t.Errorf("a file opened before: %d bytes, %v", len(rest), err)
	}
	before.Close()
	for _, path := range []string{m.Path("s0"), dir + "/s0", file} {
		harness.Eventually(t, path+" has the last version", func() bool {
			b, err := os.ReadFile(path)
			return err == nil && string(b) == value(last)
		})
	}
	recorded(t, m, tallies)
}

// storm rages for a while and returns the version that it has left, and how
// many workers it has killed.
func storm(t *testing.T, m *harness.Mount, length time.Duration) (version, kills int) {
	t.Helper()
	end := time.Now().Add(length)
	for i := 1; time.Now().Before(end); i++ {
		time.Sleep(200 * time.Millisecond)
		if pids := m.Workers(); len(pids) > 0 {
			if syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) == nil {
				kills++
			}
		}
		switch i % 10 {
		case 3:
			version++
			m.Encrypt(plain(version))
		case 6:
			m.Must("reload")
		case 9:
			m.Must("upgrade")
		}
	}
	return version, kills
}

// recorded checks that the audit log has every read at least once, and is
// whole.
func recorded(t *testing.T, m *harness.Mount, tallies map[int]tally) {
	t.Helper()
	lines := make(map[string]int)
	for _, r := range m.Audit() {
		if r.Outcome == "allowed" {
			lines[fmt.Sprint(r.PID, r.Path)]++
		}
	}
	for pid, n := range tallies {
		for name, reads := range n.Reads {
			if name == "file" {
				name = "s0"
			}
			if got := lines[fmt.Sprint(pid, name)]; got < reads {
				t.Errorf("reader %d has read %s %d times, the audit log has %d", pid, name, reads, got)
			}
		}
	}
	m.VerifyAudit()
}
