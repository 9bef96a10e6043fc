package survive

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// A manager plays the service manager's end of sd_notify(3).
type manager struct {
	mu       sync.Mutex
	messages []string
	read     int // messages that heard is past
}

func listenAsManager(t *testing.T) *manager {
	t.Helper()
	path := t.TempDir() + "/notify"
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	m := new(manager)
	go func() {
		b := make([]byte, 4096)
		for {
			n, _, _, _, err := l.ReadMsgUnix(b, nil)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.messages = append(m.messages, string(b[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// heard waits for a message that has all of lines, and is then past it.
func (m *manager) heard(t *testing.T, lines ...string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the manager hears %q", lines), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, message := range m.messages[m.read:] {
			missing := slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains("\n"+message+"\n", "\n"+line) })
			if !missing {
				m.read += i + 1
				return true
			}
		}
		return false
	})
}

// names are the descriptors that are stored, by all that was said.
func (m *manager) names() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := make(map[string]bool)
	for _, message := range m.messages {
		_, name, ok := strings.Cut(message, "FDNAME=")
		if ok {
			stored[name] = strings.HasPrefix(message, "FDSTORE=1")
		}
	}
	return stored
}

func TestNotifications(t *testing.T) {
	listener := listenAsManager(t)
	m := unmounted(t)
	holder, ended := foreground(t, m)
	worker := m.Status().WorkerPID
	listener.heard(t, "READY=1\n", fmt.Sprintf("MAINPID=%d\n", holder.Process.Pid), "STATUS=serving "+m.Dir+"\n")
	harness.Eventually(t, "all that the next holder needs is stored", func() bool {
		stored := listener.names()
		for _, name := range []string{"dev", "clone", "table", "store", "control", "kept-policy"} {
			if !stored["secretfs-"+name] {
				return false
			}
		}
		return stored["secretfs-state0"] != stored["secretfs-state1"]
	})
	m.Must("reload")
	listener.heard(t, "RELOADING=1\n", "MONOTONIC_USEC=")
	listener.heard(t, "READY=1\n")
	m.Must("upgrade")
	listener.heard(t, "RELOADING=1\n", "MONOTONIC_USEC=", "STATUS=upgrading\n")
	listener.heard(t, "READY=1\n", fmt.Sprintf("MAINPID=%d\n", holder.Process.Pid))
	m.Must("umount")
	listener.heard(t, "STOPPING=1\n")
	stopped(t, m, worker, ended)
	for name, stored := range listener.names() {
		if stored {
			t.Errorf("%s is still stored", name)
		}
	}
}
