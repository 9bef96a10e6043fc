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
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A sample is what one reader process measured: nanoseconds of one
// open+read+close, and how many a second.
type sample struct {
	P50, P99 time.Duration
	Rate     float64
}

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
	path := args[0]
	n, _ := strconv.Atoi(args[1])
	cpu, _ := strconv.Atoi(args[2])
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	if cpu >= 0 {
		if err := pin(0, cpu); err != nil {
			return err
		}
	}
	took := make([]time.Duration, n)
	var buf [4096]byte
	for range n/10 + 1 {
		if err := once(path, buf[:]); err != nil {
			return err
		}
	}
	start := time.Now()
	for i := range took {
		t := time.Now()
		if err := once(path, buf[:]); err != nil {
			return err
		}
		took[i] = time.Since(t)
	}
	s := sample{Rate: float64(n) / time.Since(start).Seconds()}
	slices.Sort(took)
	s.P50, s.P99 = took[n/2], took[n*99/100]
	return json.NewEncoder(os.Stdout).Encode(s)
}

func once(path string, buf []byte) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	n, err := unix.Read(fd, buf)
	unix.Close(fd)
	if err != nil || n != secretLen {
		return fmt.Errorf("reading %s: %d bytes, %w", path, n, err)
	}
	return nil
}

// rate has count processes read path for a while, and adds up how many opens a
// second they made. Any error of theirs is one of the benchmark.
func rate(b *testing.B, path string, count, n int) float64 {
	b.Helper()
	var wg sync.WaitGroup
	samples := make([]sample, count)
	for i := range samples {
		wg.Go(func() {
			out, err := self("reader", path, strconv.Itoa(n/count), "-1").Output()
			if err == nil {
				err = json.Unmarshal(out, &samples[i])
			}
			if err != nil {
				b.Errorf("reader %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var sum float64
	for _, s := range samples {
		sum += s.Rate
	}
	return sum
}

// runBurst opens path from many threads at the same time.
func runBurst(args []string) error {
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
			if err := once(args[0], buf[:]); err != nil {
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
