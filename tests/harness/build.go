package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Environment variables with which `make test` names what it has built.
const (
	envProgram = "SECRETFS_BIN"
	envSops    = "SECRETFS_SOPS"
	envAge     = "SECRETFS_AGE"
)

// Program is the built secretfs, with secretfs-keys beside it.
func Program(t testing.TB) string {
	t.Helper()
	return built(t, envProgram, "secretfs", "github.com/secretfs/secretfs/cmd/secretfs", "github.com/secretfs/secretfs/cmd/secretfs-keys")
}

// Sops is the sops that go.mod pins.
func Sops(t testing.TB) string {
	t.Helper()
	return built(t, envSops, "sops", "github.com/getsops/sops/v3/cmd/sops")
}

// Age is the age that go.mod pins, with age-plugin-pq beside it.
func Age(t testing.TB) string {
	t.Helper()
	return built(t, envAge, "age", "filippo.io/age/cmd/age", "filippo.io/age/extra/age-plugin-pq")
}

var builds sync.Map // program -> *build

type build struct {
	once sync.Once
	path string
	err  error
}

// built builds packages once a test process, unless the environment names the
// result. The folder is removed by Main.
func built(t testing.TB, env, name string, packages ...string) string {
	t.Helper()
	if path := os.Getenv(env); path != "" {
		return path
	}
	v, _ := builds.LoadOrStore(name, new(build))
	b := v.(*build)
	b.once.Do(func() {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", scratch() + "/"}, packages...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
		b.path = filepath.Join(scratch(), name)
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

var scratch = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "secretfs-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // tests start what is in it as an ordinary user
	}
	if err != nil {
		panic(err)
	}
	return dir
})
