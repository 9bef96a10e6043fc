package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// BenchmarkFirstRead is from the start of `secretfs mount` to the first secret
// read, the MAC over the whole file checked.
func BenchmarkFirstRead(b *testing.B) {
	for _, size := range []struct {
		n   int
		bar float64 // of `sops -d` of the same file; 0: seconds are the bar
	}{{1000, 1}, {10_000, 0.2}, {100_000, 0}} {
		for _, how := range []string{whole, listed} {
			b.Run(fmt.Sprintf("%d/%s", size.n, how), func(b *testing.B) {
				m := large(b, size.n, how)
				var secretfs, sops []time.Duration
				for b.Loop() {
					secretfs = append(secretfs, firstRead(b, m, size.n/2))
					if size.bar > 0 {
						sops = append(sops, decrypt(b, m))
					}
				}
				what := fmt.Sprintf("mount to first read, %d secrets, %s", size.n, how)
				if size.bar > 0 {
					results.ratio(b, what+"; peer: sops -d", median(secretfs), median(sops), size.bar)
				} else {
					results.within(b, what, median(secretfs).Seconds(), 1.5, "s")
				}
			})
		}
	}
}

func firstRead(b *testing.B, m *harness.Mount, i int) time.Duration {
	b.Helper()
	start := time.Now()
	end := foreground(b, m)
	got, err := os.ReadFile(m.Path(keyName(i)))
	took := time.Since(start)
	end()
	if want := fmt.Sprintf("%064d", i); err != nil || string(got) != want {
		b.Fatalf("read %q, %v; expected %q", got, err, want)
	}
	return took
}

// BenchmarkMountReady is `secretfs mount` alone: it must not grow with the sops
// file.
func BenchmarkMountReady(b *testing.B) {
	small, big := large(b, 10, whole), large(b, 100_000, whole)
	var smalls, bigs []time.Duration
	for b.Loop() {
		smalls = append(smalls, ready(b, small))
		bigs = append(bigs, ready(b, big))
	}
	results.ratio(b, "mount ready, 100000 secrets in the file; peer: 10 secrets", median(bigs), median(smalls), 1.25)
}

func ready(b *testing.B, m *harness.Mount) time.Duration {
	b.Helper()
	start := time.Now()
	end := foreground(b, m)
	took := time.Since(start)
	end()
	return took
}

// foreground mounts as a service manager does, and returns when it is told that
// the mount is ready (sd_notify(3)). end unmounts and waits for the process.
func foreground(b *testing.B, m *harness.Mount) (end func()) {
	b.Helper()
	socket := m.Root + "/notify"
	_ = os.Remove(socket)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	log, err := os.OpenFile(m.Root+"/stderr", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(harness.Program(b), "mount", "--policy", m.Policy)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			_ = cmd.Process.Kill()
			b.Fatalf("waiting for the mount: %v", err)
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			break
		}
	}
	return func() {
		b.Helper()
		m.Must("umount")
		if err := cmd.Wait(); err != nil {
			b.Fatalf("secretfs mount: %v", err)
		}
	}
}
