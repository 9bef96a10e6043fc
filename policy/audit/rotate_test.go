package audit

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// compress is what logrotate's `compress` does.
func compress(t *testing.T, name string) {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func TestRotationBySignal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, said := open(t, Config{File: file, Sync: SyncAlways})
	write(t, l, 3)
	rename(t, file, file+".1")
	write(t, l, 2) // before the signal: into the renamed file
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 4)
	rename(t, file+".1", file+".2")
	rename(t, file, file+".1")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 1)
	intact(t, 5, file+".2")
	intact(t, 10, file+".2", file+".1", file)
	if got := Files(file); !slices.Equal(got, []string{file + ".2", file + ".1", file}) {
		t.Errorf("files %q", got)
	}
	silent(t, said)
}

func TestRotationIsNoticed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, said := open(t, Config{File: file})
	write(t, l, 3)
	rename(t, file, file+"-20260101")
	l.mu.Lock()
	l.looked = time.Now().Add(-lookEvery)
	l.mu.Unlock()
	write(t, l, 3)
	intact(t, 6, file+"-20260101", file)
	rep, err := Verify(file)
	if err != nil || rep.First != 4 {
		t.Errorf("the new file was not begun: %+v %v", rep, err)
	}
	silent(t, said)
}

// logrotate's `create` makes the new file itself.
func TestRotationWithCreate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 3)
	rename(t, file, file+".1")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 3)
	intact(t, 6, file+".1", file)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o640 {
		t.Errorf("the administrator's mode was changed: %v %v", info.Mode(), err)
	}
}

func TestCopytruncate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 3)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".1", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	write(t, l, 3)
	intact(t, 6, file+".1", file)
}

// The worker is not running while the file is rotated.
func TestRestartAfterRotation(t *testing.T) {
	for _, name := range []string{"audit.jsonl.1", "audit.jsonl-20260101", "audit-20260101.jsonl"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, old := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, name)
			l, _ := open(t, Config{File: file})
			write(t, l, 3)
			_ = l.Close()
			rename(t, file, old)
			l, said := open(t, Config{File: file})
			write(t, l, 3)
			intact(t, 6, old, file)
			silent(t, said)
		})
	}
}

// The old file was compressed before the restart: the head file knows.
func TestRestartAfterCompression(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	l, _ := open(t, Config{File: file})
	write(t, l, 3)
	rename(t, file, file+".1")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	compress(t, file+".1")
	_ = l.Close()
	l, said := open(t, Config{File: file})
	write(t, l, 3)
	intact(t, 6, file+".1.gz", file)
	if got := Files(file); !slices.Equal(got, []string{file + ".1.gz", file}) {
		t.Errorf("files %q", got)
	}
	silent(t, said)
}

func TestDamagedHeadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(file+headSuffix, []byte("12 zz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, said := open(t, Config{File: file})
	write(t, l, 2)
	intact(t, 2, file)
	if !said.has(`.head: not "SEQ SHA256"`) {
		t.Errorf("said %q", said.all())
	}
}

// The folder of the new file cannot be written: records go on into the old one.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.jsonl")
	l, said := open(t, Config{File: file})
	write(t, l, 2)
	rename(t, file, file+".1")
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 2)
	intact(t, 4, file+".1")
	if !said.has("writing on into the renamed file") {
		t.Errorf("said %q", said.all())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 2)
	intact(t, 6, file+".1", file)
}

func TestNamesOfRotatedFiles(t *testing.T) {
	for name, want := range map[string]bool{
		"audit.jsonl.1": true, "audit.jsonl.12.gz": true, "audit.jsonl-20260131": true, "audit.jsonl-20260131.zst": true,
		"audit-20260131.jsonl": true, "audit-20260131.jsonl.gz": true,
		"audit.jsonl": false, "audit.jsonl.head": false, "audit.jsonl.head.new": false, "audit.jsonl.torn-20260131T000000.0Z": false,
		"audit-user.jsonl": false, "audit.jsonl.": false, "audit-20260131.log": false, "audit.jsonl~": false, "x": false,
	} {
		if isRotated("audit.jsonl", name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if !isRotated("log", "log-20260131") || isRotated("log", "log-user") || isRotated("log", "log") {
		t.Error("without extension")
	}
}
