package kernel

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/bws/bwstest"
	"github.com/secretfs/secretfs/tests/harness"
)

// A manager is a mount of Secrets Manager: the server stores what Bitwarden's own
// kit sends it.
type manager struct {
	*harness.Mount
	t      *testing.T
	server *bwstest.Server
	url    string
	down   *atomic.Bool
	token  string // of the kit
}

const bwsPolicy = `secrets:
  token: {backend: vault, project: prod}
  by-id: {backend: vault, id: ID}
  note: {backend: vault, name: token, project: prod, field: note}
  twice: {backend: vault, name: twice}
  absent: {backend: vault}
directories:
  all: {backend: vault}
`

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, server: bwstest.New(), down: new(atomic.Bool)}
	m.server.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		if m.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		return m.down.Load()
	}
	s := httptest.NewServer(m.server)
	t.Cleanup(s.Close)
	m.url, m.token = s.URL, m.server.NewToken()
	return m
}

// mount mounts with a machine account of its own.
func (m *manager) mount(policy, ttl string) {
	m.t.Helper()
	m.Mount = harness.New(m.t, harness.Options{
		Plain: "a: b\n", NoMount: true, Policy: "state: state\n" + policy,
		Head: "backends:\n  vault: {type: bws, server: '" + m.url + "', access_token: {file: token}, ttl: " + ttl + "}\n",
	})
	m.setToken(m.server.NewToken())
	m.Mount.Mount()
}

func (m *manager) setToken(token string) {
	m.t.Helper()
	if err := os.WriteFile(m.Root+"/token", []byte(token+"\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// kit has Bitwarden's own kit do something, and gives the id in its answer.
func (m *manager) kit(operation string, args ...string) (id string) {
	m.t.Helper()
	argv := append([]string{"node", "testdata/bws.cjs", harness.BitwardenSDK(m.t), m.url, m.server.Organization(), operation}, args...)
	var answer struct{ ID string }
	if out := run(m.t, m.token, argv...); json.Unmarshal([]byte(out), &answer) != nil {
		m.t.Fatalf("%s: %s", operation, out)
	}
	return answer.ID
}

// refuses wants an errno, and a sentence in the extended attribute.
func (m *manager) refuses(name string, errno error, text string) {
	m.t.Helper()
	if _, err := os.ReadFile(m.Path(name)); !errors.Is(err, errno) {
		m.t.Errorf("%s: %v, want %v", name, err, errno)
	}
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(m.Path(name), "user.secretfs.error", buf)
	if err != nil || !strings.Contains(string(buf[:n]), text) {
		m.t.Errorf("%s: the error %q (%v) does not say %q", name, buf[:max(n, 0)], err, text)
	}
}

// What Bitwarden's own kit writes is what is read through a real mount.
func TestSecretsManager(t *testing.T) {
	m := newManager(t)
	project := m.kit("project", "prod")
	id := m.kit("create", project, "token", "first-value-of-the-token", "a note")
	long := strings.Repeat("0123456789", 2500) // the longest that is allowed
	m.kit("create", project, "a/long ü", long, "")
	twice, again := m.kit("create", project, "twice", "x-one", ""), m.kit("create", "", "twice", "x-two", "")
	m.mount(strings.Replace(bwsPolicy, "ID", id, 1), "1s")

	for name, want := range map[string]string{
		"token": "first-value-of-the-token", "by-id": "first-value-of-the-token", "note": "a note",
		"all/prod/token": "first-value-of-the-token", "all/prod/a%2Flong ü": long, "all/prod/twice": "x-one", "all/%/twice": "x-two",
	} {
		if got := m.Read(name); got != want {
			t.Errorf("%s: got %q", name, got)
		}
		if info, err := os.Stat(m.Path(name)); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	m.refuses("twice", unix.EOPNOTSUPP, "2 secrets are called \"twice\": name one by id: "+min(twice, again))
	if _, err := os.ReadFile(m.Path("absent")); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}

	run(t, "", harness.Program(t), "check", "--policy", m.Policy) // asks no server
	m.kit("update", id, project, "token", "second-value-of-the-token", "a note")
	harness.Eventually(t, "the new value", func() bool { return m.Read("token") == "second-value-of-the-token" })
	m.kit("remove", twice)
	harness.Eventually(t, "the other one to be the only one", func() bool {
		text, err := os.ReadFile(m.Path("twice"))
		return err == nil && string(text) == "x-two"
	})
	if n := m.server.Seen("login"); n != 7+1 { // one a call of the kit
		t.Errorf("%d logins", n)
	}
}

// Neither a worker's death nor a new mount costs a login, and without its server
// each serves what there was.
func TestSecretsManagerGoesOn(t *testing.T) {
	m := newManager(t)
	id := m.server.Put(m.server.AddProject("prod"), "token", "value-of-the-token", "")
	m.mount(strings.Replace(bwsPolicy, "ID", id, 1), "1s")
	read := func() {
		t.Helper()
		if got := m.Read("token"); got != "value-of-the-token" {
			t.Errorf("got %q", got)
		}
	}
	read()
	harness.Eventually(t, "something on the disk", func() bool {
		files, _ := os.ReadDir(m.Root + "/state")
		return len(files) > 0
	})
	time.Sleep(time.Second) // it and the holder are told a moment later
	m.KillWorker()
	read()
	m.down.Store(true)
	m.KillWorker()
	read()
	m.Unmount()
	m.Mount.Mount()
	read()
	m.Unmount()
	m.down.Store(false)
	m.Mount.Mount()
	read()
	if n := m.server.Seen("login"); n != 1 {
		t.Errorf("%d logins", n)
	}
	out, err := exec.Command("grep", "-rla", "--exclude-dir=mnt", "value-of-the-token", m.Root).Output()
	if len(out) > 0 || err == nil {
		t.Errorf("plaintext in %s", out)
	}
}

// Each cause has an errno and a sentence, and mending it is enough.
func TestSecretsManagerFaults(t *testing.T) {
	m := newManager(t)
	id := m.server.Put(m.server.AddProject("prod"), "token", "value-of-the-token", "")
	m.down.Store(true)
	m.mount(strings.Replace(bwsPolicy, "ID", id, 1), "1s")
	good, err := os.ReadFile(m.Root + "/token")
	if err != nil {
		t.Fatal(err)
	}
	heals := func() {
		t.Helper()
		m.Must("refresh")
		if got := m.Read("token"); got != "value-of-the-token" {
			t.Errorf("got %q", got)
		}
	}
	m.refuses("token", unix.EHOSTUNREACH, "status 502")
	m.down.Store(false)
	heals()

	m.server.Revoke(string(good))
	harness.Eventually(t, "the access token to be refused", func() bool {
		_, err := os.ReadFile(m.Path("token"))
		return errors.Is(err, unix.EKEYEXPIRED)
	})
	m.refuses("token", unix.EKEYEXPIRED, "revoked or expired; make a new one")
	m.setToken("0.nonsense")
	m.refuses("token", unix.EKEYREJECTED, "has not the form 0.ID.SECRET:KEY")
	if err := os.Remove(m.Root + "/token"); err != nil {
		t.Fatal(err)
	}
	m.refuses("token", unix.ENOKEY, "token")
	m.setToken(m.server.NewToken())
	heals()
}

// The access token may be a secret of the same policy.
func TestSecretsManagerUnlockedBySops(t *testing.T) {
	m := newManager(t)
	m.server.Put(m.server.AddProject("prod"), "token", "value-of-the-token", "")
	mount := harness.New(t, harness.Options{
		Plain:  "bws: " + m.server.NewToken() + "\n",
		Policy: "state: state\nsecrets:\n  bws: {backend: main}\n  token: {backend: vault}\n",
		Head: "backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n" +
			"  vault: {type: bws, server: '" + m.url + "', access_token: {secret: bws}}\n",
	})
	if got := mount.Read("token"); got != "value-of-the-token" {
		t.Errorf("got %q", got)
	}
}
