package kernel

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func mapped(t *testing.T, f *os.File, n, prot, flags int) []byte {
	t.Helper()
	m, err := unix.Mmap(int(f.Fd()), 0, n, prot, flags)
	if err != nil {
		t.Fatalf("mmap of %s: %v", f.Name(), err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	return m
}

func mapsWhole(flags, prot int) check {
	return func(t *testing.T, s *site) {
		for path, want := range s.values {
			if len(want) == 0 {
				continue
			}
			f := s.open(t, path, os.O_RDONLY)
			m := mapped(t, f, len(want), prot, flags)
			f.Close()
			s.is(t, path, m)
		}
	}
}

func mapsWritten(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	m := mapped(t, f, bigSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	clear(m)
	s.is(t, "big", []byte(s.Read("big")))
}

func mapsSharedWritable(t *testing.T, s *site) {
	f := s.open(t, "text", os.O_RDONLY)
	if _, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != unix.EACCES {
		t.Errorf("got %v, want EACCES", err)
	}
}

func sendfile(t *testing.T, s *site) {
	for path, want := range s.values {
		f := s.open(t, path, os.O_RDONLY)
		to, err := os.Create(filepath.Join(t.TempDir(), "to"))
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		for {
			n, err := unix.Sendfile(int(to.Fd()), int(f.Fd()), nil, 1<<20)
			if err != nil {
				t.Fatalf("sendfile of %s: %v", path, err)
			}
			if n == 0 {
				break
			}
		}
		got := make([]byte, len(want)+1)
		n, _ := to.ReadAt(got, 0)
		s.is(t, path, got[:n])
	}
}

func splice(t *testing.T, s *site) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := s.open(t, "big", os.O_RDONLY)
	var writer sync.WaitGroup
	writer.Go(func() {
		defer w.Close()
		for {
			n, err := unix.Splice(int(f.Fd()), nil, int(w.Fd()), nil, 50_000, 0)
			if n == 0 && err == nil {
				return
			}
			if err != nil {
				t.Error("splice:", err)
				return
			}
		}
	})
	got, err := io.ReadAll(r)
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "big", got)
}

func copyRange(t *testing.T, s *site) {
	f := s.open(t, "big", os.O_RDONLY)
	to, err := os.Create(filepath.Join(t.TempDir(), "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for {
		n, err := unix.CopyFileRange(int(f.Fd()), nil, int(to.Fd()), nil, 1<<20, 0)
		// copy_file_range(2): between filesystems it may be refused.
		if errors.Is(err, unix.EXDEV) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	got, err := os.ReadFile(to.Name())
	if err != nil {
		t.Fatal(err)
	}
	s.is(t, "big", got)
}
