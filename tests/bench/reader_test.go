package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sample is what one reader process measured of one open+read+close.
type sample struct{ P50, P99 time.Duration }

// read has a process of its own open, read and close path n times, on one
// processor if cpu is not negative.
func read(b *testing.B, path string, n, cpu int) sample {
	b.Helper()
	out, err := self("reader", path, strconv.Itoa(n), strconv.Itoa(cpu)).Output()
	if err != nil {
		b.Fatalf("reading %s: %v", path, err)
	}
	var s sample
	if err := json.Unmarshal(out, &s); err != nil {
		b.Fatal(err)
	}
	return s
}

func runReader(args []string) error {
	path, err := unix.BytePtrFromString(args[0])
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(args[1])
	cpu, _ := strconv.Atoi(args[2])
	debug.SetGCPercent(-1)
	if cpu >= 0 {
		if err := pin(0, cpu); err != nil {
			return err
		}
	}
	took := make([]time.Duration, n)
	var buf [4096]byte
	for range n/10 + 1 {
		if err := once(unix.RawSyscall6, path, buf[:]); err != nil {
			return err
		}
	}
	for i := range took {
		t := time.Now()
		if err := once(unix.RawSyscall6, path, buf[:]); err != nil {
			return err
		}
		took[i] = time.Since(t)
	}
	slices.Sort(took)
	return json.NewEncoder(os.Stdout).Encode(sample{P50: took[n/2], P99: took[n*99/100]})
}

// A call is unix.RawSyscall6, in which Go's scheduler has no part, so that 64
// readers are 64 threads; or unix.Syscall6, where one process has many.
type call func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno syscall.Errno)

// once opens, reads and closes. EINTR is an error like any other.
func once(c call, path *byte, buf []byte) error {
	here := unix.AT_FDCWD
	fd, _, errno := c(unix.SYS_OPENAT, uintptr(here), uintptr(unsafe.Pointer(path)), unix.O_RDONLY, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("opening %s: %w", unix.BytePtrToString(path), errno)
	}
	n, _, errno := c(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
	c(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
	if errno != 0 || n != secretLen {
		return fmt.Errorf("reading %s: %d bytes, %w", unix.BytePtrToString(path), n, errno)
	}
	return nil
}

// window is how long readers are counted for, and lead how long they have to
// start.
const window, lead = time.Second, time.Second

// rate has count processes read path at the same time and tells how many reads
// a second they make. Any error of theirs is one of the benchmark.
func rate(b *testing.B, path string, count int) float64 {
	b.Helper()
	begin := time.Now().Add(lead)
	var readers sync.WaitGroup
	reads := make([]int, count)
	for i := range reads {
		readers.Go(func() {
			out, err := self("counter", path, strconv.FormatInt(begin.UnixNano(), 10)).Output()
			if err == nil {
				reads[i], err = strconv.Atoi(string(out))
			}
			if err != nil {
				b.Errorf("reader %d: %v", i, err)
			}
		})
	}
	readers.Wait()
	total := 0
	for _, n := range reads {
		total += n
	}
	return float64(total) / window.Seconds()
}

func runCounter(args []string) error {
	path, err := unix.BytePtrFromString(args[0])
	if err != nil {
		return err
	}
	ns, _ := strconv.ParseInt(args[1], 10, 64)
	begin := time.Unix(0, ns)
	debug.SetGCPercent(-1)
	time.Sleep(time.Until(begin))
	reads := 0
	var buf [4096]byte
	for time.Since(begin) < window {
		if err := once(unix.RawSyscall6, path, buf[:]); err != nil {
			return err
		}
		reads++
	}
	fmt.Print(reads)
	return nil
}

// runBurst opens path from many threads at the same time.
func runBurst(args []string) error {
	path, err := unix.BytePtrFromString(args[0])
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(args[1])
	debug.SetMaxThreads(n + 100)
	var ready, done sync.WaitGroup
	ready.Add(n)
	failed := make(chan error, n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			ready.Wait()
			var buf [4096]byte
			if err := once(unix.Syscall6, path, buf[:]); err != nil {
				failed <- err
			}
		})
	}
	done.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// pin binds a thread to one processor, or to all if cpu is negative.
func pin(tid, cpu int) error {
	var set unix.CPUSet
	if cpu >= 0 {
		set.Set(cpu)
	}
	for i := 0; cpu < 0 && i < runtime.NumCPU(); i++ {
		set.Set(i)
	}
	return unix.SchedSetaffinity(tid, &set)
}

// pinAll binds all threads of a process, and those that they will start.
func pinAll(b *testing.B, pid, cpu int) {
	b.Helper()
	for range 2 { // threads may have been started meanwhile
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			tid, _ := strconv.Atoi(e.Name())
			if err := pin(tid, cpu); err != nil && err != unix.ESRCH {
				b.Fatal(err)
			}
		}
	}
}
