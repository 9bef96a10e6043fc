package kernel

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/tests/harness"
)

// typed runs secretfs unlock with lines on stdin.
func (l *locker) typed(lines ...string) (string, error) {
	cmd := exec.Command(harness.Program(l.t), "unlock", "--control", l.Control, "--stdin", "bw")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestUnlockBitwarden types the master password of a vault, whose server then
// wants a code besides: the backend learns that only when it logs in.
func TestUnlockBitwarden(t *testing.T) {
	l := emptyLocker(t, kdf.Params{Type: kdf.PBKDF2, Iterations: 600000})
	l.account.NewDevice = "471100"
	l.put("db", "from the vault")
	l.Mount = harness.New(t, harness.Options{
		Plain: "a: b\n", NoMount: true, Policy: "state: state\nsecrets:\n  db: {backend: bw}\n",
		Head: "backends:\n  bw: {type: bitwarden, server: '" + l.server.URL + "', ca_file: '" + l.server.CAFile +
			"', email: " + bwEmail + ", password: {ask: true}}\n",
	})
	l.Mount.Mount()
	if _, err := os.ReadFile(l.Path("db")); !errors.Is(err, unix.ENOKEY) {
		t.Errorf("before anybody has typed: %v", err)
	}
	if out, err := l.typed("wrong horse battery"); err == nil || strings.Contains(out, "is open") {
		t.Errorf("with a wrong password: %v, %s", err, out)
	}
	if out, err := l.typed(bwPassword); err == nil || !strings.Contains(out, "reading the code that Bitwarden has sent by mail of backend bw: stdin has ended") {
		t.Errorf("without the code: %v, %s", err, out)
	}
	if out, err := l.typed("123456"); err == nil || strings.Contains(out, "is open") {
		t.Errorf("with a wrong code: %v, %s", err, out)
	}
	if out, err := l.typed("471100"); err != nil || out != "bw is open\n" {
		t.Fatalf("with the code: %v, %s\n%s", err, out, l.Must("status"))
	}
	logins := l.server.Logins()
	reads := func(when string) {
		t.Helper()
		if got := l.Read("db"); got != "from the vault" {
			t.Errorf("%s: got %q", when, got)
		}
	}
	reads("unlocked")
	if out := l.Must("unlock", "bw"); out != "bw is open\n" {
		t.Errorf("asked again: %s", out)
	}
	l.KillWorker()
	reads("by the next worker")
	l.Must("upgrade")
	reads("after an upgrade")
	if n := l.server.Logins() - logins; n != 0 {
		t.Errorf("it took %d more logins", n)
	}
	l.Must("lock", "bw")
	if _, err := os.ReadFile(l.Path("db")); !errors.Is(err, unix.ENOKEY) {
		t.Errorf("locked: %v", err)
	}
	if out, err := l.typed(bwPassword); err != nil {
		t.Errorf("unlocked again: %v, %s", err, out)
	}
	reads("unlocked again")
}
