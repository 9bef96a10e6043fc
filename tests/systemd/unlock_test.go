package systemd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/secretfs/secretfs/tests/harness"
)

const passphrase = "correct horse battery staple"

// wrap makes the file a.age for the ssh key id, anew each time.
func (s *service) wrap(content string) {
	s.t.Helper()
	public, err := os.ReadFile(s.machine.dir + "/" + s.name + "/id.pub")
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := agessh.ParseRecipient(string(public))
	if err != nil {
		s.t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := age.Encrypt(&file, to)
	if err == nil {
		_, err = w.Write([]byte(content))
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.file(s.t, s.name+"/a.age", file.String())
}

// TestUnitCredential has systemd give a passphrase to the unit, and somebody type
// another one; neither is lost when holder and worker are killed at once.
func TestUnitCredential(t *testing.T) {
	const backend = "type: age, identities: [id], passphrase: "
	s := install(t, "opens", options{
		plain:    "x: y\n",
		settings: "LoadCredential=pass:" + inside + "/opens/pass",
		backends: "  given: {" + backend + "{credential: pass}}\n  asked: {" + backend + "{ask: true}}\n",
		secrets:  "secrets:\n  given: {backend: given, file: a.age}\n  asked: {backend: asked, file: a.age}\n",
	})
	s.file(t, "opens/pass", passphrase+"\n")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", s.machine.dir+"/opens/id").CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	s.wrap("one")
	s.start(t, "opens.service")
	if got := s.must(t, "cat", s.dir+"/given"); got != "one" {
		t.Errorf("with the unit's credential: %q", got)
	}
	if out, err := s.run("cat", s.dir+"/asked"); err == nil || !strings.Contains(out, "Required key not available") {
		t.Errorf("before anybody has typed: %v, %s", err, out)
	}
	s.must(t, "sh", "-c", "echo '"+passphrase+"' | "+inside+"/secretfs unlock --stdin --policy "+s.in("policy.yaml")+" asked")
	reads := func(when, want string) {
		t.Helper()
		s.wrap(want)
		for _, name := range []string{"given", "asked"} {
			harness.Eventually(t, name+" is "+want+" "+when, func() bool {
				got, err := s.run("cat", s.dir+"/"+name)
				return err == nil && got == want
			})
		}
	}
	reads("at once", "two")
	before := s.status()
	harness.Eventually(t, "systemd keeps what was typed", func() bool { return s.stored() > 0 })
	s.kill(before.WorkerPID)
	reads("after a worker's death", "three")
	now := s.status()
	s.kill(now.HolderPID) // systemd kills the rest
	harness.Eventually(t, "systemd has started it again", func() bool {
		out, err := s.run(inside+"/secretfs", "status", "--policy", s.in("policy.yaml"))
		return err == nil && !strings.Contains(out, "pid "+strconv.Itoa(now.HolderPID)+",")
	})
	reads("after everybody's death", "four")
}
