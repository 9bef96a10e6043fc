package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestDir serves a directory of plain files through a real mount, while they
// change and the worker dies.
func TestDir(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		m := harness.New(t, harness.Options{
			Plain: "a: b\n", NoMount: true, Head: "backends:\n  plain: {type: dir, path: plain}\n",
			Policy: "secrets:\n  token: {backend: plain}\n  renamed: {backend: plain, file: db/password}\n  outside: {backend: plain}\n" +
				"directories:\n  all: {backend: plain}\n",
		})
		put := func(name, content string) {
			t.Helper()
			path := filepath.Join(m.Root, "plain", name)
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path+"~", []byte(content), 0o600), os.Rename(path+"~", path))
			if err != nil {
				t.Fatal(err)
			}
		}
		long := string(random(bigSize))
		put("token", "the token")
		put("db/password", "the password\n")
		put("db/long", long)
		if err := os.Symlink(m.Keys, m.Root+"/plain/outside"); err != nil {
			t.Fatal(err)
		}
		m.Mount()
		for path, want := range map[string]string{
			"token": "the token", "renamed": "the password\n", "all/token": "the token", "all/db/password": "the password\n", "all/db/long": long,
		} {
			if info, err := os.Stat(m.Path(path)); err != nil || info.Size() != int64(len(want)) {
				t.Errorf("%s: %v, %v, want a size of %d before it is read", path, info, err, len(want))
			}
			if got := m.Read(path); got != want {
				t.Errorf("%s: got %d bytes %.40q", path, len(got), got)
			}
		}
		if got, want := names(t, m.Path("all")), []string{"db", "token"}; !slices.Equal(got, want) {
			t.Errorf("listed: %v, want %v", got, want)
		}
		if _, err := os.ReadFile(m.Path("outside")); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("a link that leads out of the directory: %v", err)
		}
		version := func() string {
			t.Helper()
			v, err := attribute(m.Path("token"), "version")
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		before := version()
		told := func() int { return 0 }
		another := func() {
			put("db/password", "another")
			harness.Eventually(t, "the new value is served", func() bool {
				b, _ := os.ReadFile(m.Path("renamed"))
				return string(b) == "another"
			})
		}
		if os.Geteuid() == 0 { // a user's mount tells nobody of changes
			w := watch(t, m.Path("token"), m.Path("renamed"))
			told = func() int { return w.count(m.Path("token")) }
			put("token", "the token") // the same again
			w.next(t, another, m.Path("renamed"))
		} else {
			another()
		}
		m.KillWorker()
		if got := m.Read("token"); got != "the token" || version() != before || told() != 0 {
			t.Errorf("the same content, by another worker: %q, version %s, before %s, %d events", got, version(), before, told())
		}
		if err := os.Remove(m.Root + "/plain/token"); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the removed file is gone", func() bool {
			_, err := os.ReadFile(m.Path("token"))
			return os.IsNotExist(err)
		})
		m.VerifyAudit()
	})
}
