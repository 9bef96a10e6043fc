package kernel

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestNoTornRead: readers that open, ask for the length and read, over and over,
// get one version whole each time, while versions of other lengths come and
// workers are killed.
func TestNoTornRead(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		const versions = 12
		m := harness.New(t, harness.Options{Plain: toJSON(t, map[string]string{"a": versionOf("a", 0)})})
		var encrypted [versions]string
		for v := range encrypted {
			encrypted[v] = m.Encrypted(toJSON(t, map[string]string{"a": versionOf("a", v)}))
		}
		var stop atomic.Bool
		var reads atomic.Int64
		var readers sync.WaitGroup
		for _, r := range []struct {
			flags int
			read  func(*os.File) (string, error)
		}{{0, byRead}, {unix.O_DIRECT, byRead}, {unix.O_DIRECT, byDirect}, {0, byMapping}} {
			readers.Go(func() {
				for !stop.Load() && !t.Failed() {
					if err := oneVersion(m.Path("a"), r.flags, r.read); err != nil {
						t.Error(err)
					}
					reads.Add(1)
				}
			})
		}
		for v, text := range encrypted {
			put(t, m.Root+"/new", text)
			rename(t, m.Root+"/new", m.Secrets)
			time.Sleep(100 * time.Millisecond)
			if v%4 == 3 {
				m.KillWorker()
			}
		}
		harness.Eventually(t, "the last version", func() bool { return m.Read("a") == versionOf("a", versions-1) })
		stop.Store(true)
		readers.Wait()
		if n := reads.Load(); n < 100 {
			t.Errorf("only %d reads", n)
		}
	})
}

// oneVersion opens a file, reads it, and says what is wrong.
func oneVersion(path string, flags int, read func(*os.File) (string, error)) error {
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	got, err := read(f)
	if err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if int64(len(got)) != before.Size() || before.Size() != after.Size() {
		return fmt.Errorf("fstat said %d bytes before and %d after reading %d", before.Size(), after.Size(), len(got))
	}
	first, _, _ := strings.Cut(got, "\n")
	var v int
	if _, err := fmt.Sscanf(first, "a in version %d", &v); err != nil || got != versionOf("a", v) {
		return fmt.Errorf("torn: %d bytes that begin with %q", len(got), first)
	}
	return nil
}

// byRead reads in steps, with pauses for a rotation to come in between.
func byRead(f *os.File) (string, error) {
	var whole strings.Builder
	buf := aligned(4096)
	for {
		n, err := f.Read(buf)
		whole.Write(buf[:n])
		if err == io.EOF {
			return whole.String(), nil
		}
		if err != nil {
			return "", err
		}
		time.Sleep(time.Millisecond)
	}
}

func byDirect(f *os.File) (string, error) {
	buf := aligned(1 << 16)
	n, err := f.ReadAt(buf, 0)
	if err != io.EOF {
		return "", fmt.Errorf("reading to the end: %w", err)
	}
	return string(buf[:n]), nil
}

func byMapping(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return "", err
	}
	time.Sleep(2 * time.Millisecond)
	whole := string(b)
	return whole, unix.Munmap(b)
}
