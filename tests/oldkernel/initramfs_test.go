package oldkernel

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

const guestPackage = "github.com/secretfs/secretfs/tests/oldkernel/guest"

// stage makes the root of the guest: our programs, cat and
// fusermount3. /bin/guest are
// the tests of package guest, PID 1.
func stage(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "proc", "sys", "dev", "tmp", "run", "modules", "etc"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", root+"/bin/guest", guestPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the guest's tests: %v\n%s", err, out)
	}
	put(t, harness.Program(t), root+"/bin/secretfs")
	put(t, harness.Sops(t), root+"/bin/sops")
	putWithLibraries(t, "cat", root)
	putWithLibraries(t, "fusermount3", root)
	if err := os.Chmod(root+"/bin/fusermount3", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	etc := map[string]string{"passwd": "root:x:0:0::/:/\nsomebody:x:1000:1000::/tmp:/\n", "group": "root:x:0:\nsomebody:x:1000:\n", "fuse.conf": ""}
	for name, text := range etc {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// guestTests are the names of the guest's tests.
func guestTests(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "test", "-list", "^Test", guestPackage).Output()
	if err != nil {
		t.Fatalf("listing the guest's tests: %v", err)
	}
	names := regexp.MustCompile(`(?m)^Test\w+$`).FindAllString(string(out), -1)
	if len(names) == 0 {
		t.Fatal("the guest has no tests")
	}
	return names
}

// pack makes the initramfs of one kernel, with its modules.
func pack(t *testing.T, root, kernel string) string {
	t.Helper()
	old, _ := filepath.Glob(root + "/modules/*")
	for _, m := range old {
		if err := os.Remove(m); err != nil {
			t.Fatal(err)
		}
	}
	modules, _ := filepath.Glob(kernel + "/*.ko")
	for _, m := range modules {
		put(t, m, filepath.Join(root, "modules", filepath.Base(m)))
	}
	var names bytes.Buffer
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(root, path); name != "." {
			names.WriteString(name + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "initramfs")
	cmd := exec.Command("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-F", archive)
	cmd.Dir, cmd.Stdin = root, &names
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	return archive
}

// putWithLibraries copies a program of this machine with the libraries that
// ldd(1) names.
func putWithLibraries(t *testing.T, name, root string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, filepath.Join(root, "bin", name))
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", path, err)
	}
	for _, field := range strings.Fields(string(out)) {
		if filepath.IsAbs(field) {
			put(t, field, filepath.Join(root, field))
		}
	}
}

func put(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
