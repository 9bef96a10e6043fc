package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// long is longer than one READ.
var long = strings.Repeat("0123456789abcdef", 20_000)

// system mounts one secret of every size.
func system(t *testing.T) *harness.Mount {
	t.Helper()
	harness.NeedRoot(t)
	return harness.New(t, harness.Options{Plain: fmt.Sprintf("a: some value\nempty: \"\"\nlong: %s\nd: {b: another}\n", long)})
}

// TestServes: what the kernel can do is used, and what it cannot is said.
func TestServes(t *testing.T) {
	k, m := running(t), system(t)
	for name, want := range map[string]string{"a": "some value", "empty": "", "long": long, "d/b": "another"} {
		for range 2 {
			if got := m.Read(name); got != want {
				t.Errorf("%s reads as %d bytes %.20q, want %d", name, len(got), got, len(want))
			}
		}
		if info, err := os.Stat(m.Path(name)); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s: %v, %v, want %d bytes", name, info, err, len(want))
		}
	}
	var status struct {
		Passthrough, Resend bool
		Notices             []string
	}
	if err := json.Unmarshal([]byte(m.Must("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Passthrough != k.passthrough || status.Resend != k.resend {
		t.Errorf("on %s: passthrough %v, resend %v", k.release, status.Passthrough, status.Resend)
	}
	said := slices.ContainsFunc(status.Notices, func(n string) bool { return strings.Contains(n, "cannot resend requests") })
	if said == k.resend {
		t.Errorf("on %s status says %q", k.release, status.Notices)
	}
}

// TestDirect: readers with O_DIRECT, where the buffer is aligned as it has to be.
func TestDirect(t *testing.T) {
	m := system(t)
	fd, err := unix.Open(m.Path("long"), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(-1, 0, 128<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	var got bytes.Buffer
	for {
		n, err := unix.Read(fd, mem)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got.Write(mem[:n])
	}
	if got.String() != long {
		t.Errorf("got %d bytes, want %d", got.Len(), len(long))
	}
}

// TestMappings: private mappings everywhere; shared ones of direct I/O since
// Linux 6.6 (FUSE_DIRECT_IO_ALLOW_MMAP).
func TestMappings(t *testing.T) {
	k, m := running(t), system(t)
	f, err := os.Open(m.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for flags, possible := range map[int]bool{unix.MAP_PRIVATE: true, unix.MAP_SHARED: k.passthrough || k.directShare} {
		mem, err := unix.Mmap(int(f.Fd()), 0, 10, unix.PROT_READ, flags)
		if !possible {
			if err != unix.ENODEV {
				t.Errorf("mapping with %d: %v, want ENODEV", flags, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("mapping with %d: %v", flags, err)
			continue
		}
		if string(mem) != "some value" {
			t.Errorf("mapping with %d: %q", flags, mem)
		}
		_ = unix.Munmap(mem)
	}
}

// TestErrnos: each cause has its own.
func TestErrnos(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.New(t, harness.Options{
		Plain: "a: some value\n",
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  locked: {type: sops, file: secrets.yaml, age: {key_files: [others.txt]}}\n" +
			"  forged: {type: sops, file: forged.yaml, age: {key_files: [keys.txt]}}\n",
		Policy:  "secrets:\n  a: {backend: main}\n  locked: {backend: locked, key: a}\n  forged: {backend: forged, key: a}\n  lost: {backend: main}\n",
		NoMount: true,
	})
	forged := strings.Replace(m.Encrypted("a: some value\nb: 1\n"), "\nb: ", "\nc: ", 1)
	for name, text := range map[string]string{"others.txt": harness.NewIdentity(t), "forged.yaml": forged} {
		if err := os.WriteFile(m.Root+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Mount()
	if got := m.Read("a"); got != "some value" {
		t.Errorf("got %q", got)
	}
	for name, want := range map[string]syscall.Errno{
		"nothing": unix.ENOENT, "lost": unix.ENOENT, "locked": unix.ENOKEY, "forged": unix.EBADMSG,
	} {
		if _, err := unix.Open(m.Path(name), unix.O_RDONLY, 0); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := unix.Open(m.Path("a"), unix.O_WRONLY, 0); err != unix.EROFS {
		t.Errorf("writing: %v, want EROFS", err)
	}
	if err := unix.Utimes(m.Path("a"), nil); err != unix.EROFS {
		t.Errorf("utimes: %v, want EROFS", err)
	}
	if out, err := cat(m.Path("a"), &syscall.Credential{Uid: 1234, Gid: 1234}); !strings.Contains(out, "Permission denied") {
		t.Errorf("another user's cat: %q, %v, want it refused", out, err)
	}
	outcomes := make(map[string]int)
	for _, r := range m.Audit() {
		outcomes[r.Path+" "+r.Outcome+" "+r.Errno]++
	}
	for _, want := range []string{"a allowed ", "locked error ENOKEY", "forged error EBADMSG", "a refused EACCES"} {
		if outcomes[want] == 0 {
			t.Errorf("the audit log has no %q: %v", want, outcomes)
		}
	}
	m.VerifyAudit()
}

// TestUnmounts: nothing of it is left.
func TestUnmounts(t *testing.T) {
	m := system(t)
	m.Read("a")
	m.Must("umount")
	harness.Eventually(t, "the mount is gone", func() bool { return len(harness.Leftovers()) == 0 })
	harness.Eventually(t, "the worker is gone", func() bool { return len(m.Workers()) == 0 })
	if left, err := os.ReadDir(m.Dir); err != nil || len(left) > 0 {
		t.Errorf("the mount point holds %v, %v", left, err)
	}
}
