package survive

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestCanary follows one plaintext through reads, refusals, errors, rotations,
// deaths and every command, and looks for it everywhere afterwards: as it is,
// in hexadecimal, in base64, and as a hash without salt.
func TestCanary(t *testing.T) {
	began := time.Now()
	canary := make([]byte, 24)
	if _, err := rand.Read(canary); err != nil {
		t.Fatal(err)
	}
	text := hex.EncodeToString(canary)
	m := harness.New(t, harness.Options{Plain: "x: y\n", NoMount: true, Policy: "secrets:\n  canary: {backend: main}\n  tree: {backend: main, key: tree}\n"})
	m.Encrypt(fmt.Sprintf("canary: %s\ntree:\n  leaf: %s\n", text, text))
	m.Mount()
	if got := m.Read("canary"); got != text {
		t.Fatal("the canary does not sing")
	}
	m.Read("tree")
	readAsNobody(m.Path("canary"))
	m.KillWorker()
	m.Read("canary")
	held := open(t, m.Path("canary"))
	broken, err := os.ReadFile(m.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, m.Secrets, string(broken[:len(broken)/2]))
	_, _ = m.Run("refresh")
	m.Read("canary")
	killHolder(t, m)
	m.Mount()
	m.Must("upgrade")
	var said bytes.Buffer
	for _, command := range []string{"status", "list", "explain"} {
		args := []string{"--json"}
		if command == "explain" {
			args = append(args, "canary")
		}
		out, _ := m.Run(command, args...)
		said.WriteString(out)
	}
	needles := [][]byte{
		[]byte(text), canary, []byte(hex.EncodeToString([]byte(text))), []byte(base64.StdEncoding.EncodeToString([]byte(text))),
	}
	sum := sha256.Sum256([]byte(text))
	needles = append(needles, []byte(hex.EncodeToString(sum[:6])), []byte(base64.StdEncoding.EncodeToString(sum[:6])))
	look(t, "what the commands say", said.Bytes(), needles)
	for _, pid := range append(m.Workers(), m.Status().HolderPID) {
		for _, name := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				t.Error(err)
			}
			look(t, fmt.Sprintf("%s of %d", name, pid), b, needles)
		}
	}
	files := 0
	for _, dir := range []string{m.Root, os.TempDir(), "/run", "/dev/shm", "/var/tmp"} {
		files += lookBelow(t, dir, m.Dir, began, needles)
	}
	if files < 4 {
		t.Errorf("only %d files were looked at", files)
	}
	held.Close()
}

func look(t *testing.T, where string, b []byte, needles [][]byte) {
	t.Helper()
	for i, n := range needles {
		if bytes.Contains(b, n) {
			t.Errorf("%s: the canary is in it, as form %d", where, i)
		}
	}
}

// lookBelow looks at all files below dir that are newer than began, but not at
// the mount.
func lookBelow(t *testing.T, dir, mount string, began time.Time, needles [][]byte) (files int) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // somebody else's, and gone
		}
		if d.IsDir() && (path == mount || path != dir && foreign(path)) {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(began) || info.Size() > 16<<20 {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil {
			files++
			look(t, path, b, needles)
		}
		return nil
	})
	return files
}

// foreign says that path is on another filesystem than the folder it is in.
func foreign(path string) bool {
	here, err1 := os.Stat(path)
	above, err2 := os.Stat(filepath.Dir(path))
	return err1 != nil || err2 != nil || deviceOf(here) != deviceOf(above)
}
