package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	r := sample()
	for name, c := range map[string]struct {
		f    Filter
		want bool
	}{
		"all":               {Filter{}, true},
		"path":              {Filter{PathGlob: "mem0/token"}, true},
		"glob":              {Filter{PathGlob: "mem?/*"}, true},
		"directory":         {Filter{PathGlob: "mem0"}, true},
		"other path":        {Filter{PathGlob: "mem1/*"}, false},
		"glob of one level": {Filter{PathGlob: "*/*/*"}, false},
		"unit":              {Filter{Unit: "mem0.service"}, true},
		"part of a unit":    {Filter{Unit: "mem0"}, false},
		"user":              {Filter{User: new(uint32(990))}, true},
		"root is not all":   {Filter{User: new(uint32(0))}, false},
		"denied":            {Filter{Denied: true}, true},
		"since then":        {Filter{Since: r.Time}, true},
		"since later":       {Filter{Since: r.Time.Add(1)}, false},
		"one of two":        {Filter{Unit: "mem0.service", PathGlob: "x"}, false},
	} {
		if got := c.f.Match(&r); got != c.want || c.f.Check() != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	allowed := sample()
	allowed.Outcome = Allowed
	if (Filter{Denied: true}).Match(&allowed) {
		t.Error("an allowed read counts as denied")
	}
	if err := (Filter{PathGlob: "[a"}).Check(); err == nil || !strings.Contains(err.Error(), `"[a"`) {
		t.Errorf("a bad pattern: %v", err)
	}
}

func TestShow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 3)
	rename(t, file, file+".1")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 2)
	compress(t, file+".1")
	tear(t, file, "garbage\n{\"torn")
	var got []uint64
	err := Show(t.Context(), Filter{PathGlob: "secret/[12]"}, Files(file), func(r Record) error {
		got = append(got, r.Seq)
		return nil
	})
	if err != nil || !slices.Equal(got, []uint64{2, 3, 5}) {
		t.Errorf("got %v, %v", got, err)
	}
	stop := errors.New("enough")
	if err := Show(t.Context(), Filter{}, Files(file), func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("fn's error: %v", err)
	}
	if err := Show(t.Context(), Filter{}, []string{file + ".none"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// follow collects sequence numbers until n have come.
func follow(t *testing.T, file string, n int, while func()) []uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seqs := make(chan uint64, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- Follow(ctx, Filter{}, file, func(r Record) error { seqs <- r.Seq; return nil })
	}()
	time.Sleep(2 * followEvery) // it begins at the end that it finds
	while()
	var got []uint64
	for len(got) < n && ctx.Err() == nil {
		select {
		case seq := <-seqs:
			got = append(got, seq)
		case <-ctx.Done():
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return got
}

func TestFollowOverRotations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 2)
	got := follow(t, file, 8, func() {
		write(t, l, 2)
		rename(t, file, file+".1")
		if err := os.WriteFile(file, nil, 0o600); err != nil { // as logrotate's `create`
			t.Fatal(err)
		}
		time.Sleep(2 * followEvery)
		write(t, l, 2) // still into the old one
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		write(t, l, 2)
		time.Sleep(2 * followEvery)
		if err := os.Truncate(file, 0); err != nil { // as `copytruncate`
			t.Fatal(err)
		}
		time.Sleep(2 * followEvery)
		write(t, l, 2)
	})
	if !slices.Equal(got, []uint64{3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("got %v", got)
	}
}

func TestFollowAFileToCome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	got := follow(t, file, 3, func() {
		l, _ := open(t, Config{File: file})
		write(t, l, 2)
		line := string(appendLine(nil, new(sample()))) + "\n"
		tear(t, file, line[:50])
		time.Sleep(2 * followEvery)
		tear(t, file, line[50:])
	})
	if !slices.Equal(got, []uint64{1, 2, 42}) {
		t.Errorf("got %v", got)
	}
}
