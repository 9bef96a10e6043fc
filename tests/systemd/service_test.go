package systemd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// unitFile is the service as the manual has it, with the parts that a test
// changes.
const unitFile = `[Unit]
Description=secretfs
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=notify
ExecStart=` + inside + `/secretfs mount --policy ` + inside + `/%[1]s/policy.yaml
ExecReload=` + inside + `/secretfs reload --policy ` + inside + `/%[1]s/policy.yaml
KillMode=mixed
FileDescriptorStoreMax=512
Restart=on-failure
RestartSec=100ms
StandardError=append:` + inside + `/%[1]s/stderr
%[2]s
`

// A service is secretfs as a unit of the machine.
type service struct {
	*machine
	t    *testing.T
	name string // of the unit and of the folder, without suffix
	dir  string // where it is mounted, in the machine
	h    *harness.Mount
}

// options of a service.
type options struct {
	plain    string
	secrets  string // the policy's secrets: section and what follows
	backends string // more backends
	settings string // more lines of the unit's [Service] section
	journal  bool   // audit to the journal too
}

// install makes the files and the unit, and does not start it.
func install(t *testing.T, name string, o options) *service {
	t.Helper()
	return installOn(t, boot(t), name, o)
}

func installOn(t *testing.T, m *machine, name string, o options) *service {
	t.Helper()
	s := &service{machine: m, t: t, name: name, dir: "/run/" + name}
	// The harness makes key and sops file; they are copied, for its folder is
	// not seen in the machine.
	s.h = harness.New(t, harness.Options{Plain: o.plain, NoMount: true})
	s.file(t, name+"/policy.yaml", fmt.Sprintf("mount: %s\ncontrol: /run/%s-control/control.sock\naudit: {file: %s, journal: %t}\n"+
		"backends:\n  main: {type: sops, file: secrets.yaml, age: {key_files: [keys.txt]}}\n%s%s",
		s.dir, name, s.in("log/audit.jsonl"), o.journal, o.backends, o.secrets))
	key, err := os.ReadFile(s.h.Keys)
	if err != nil {
		t.Fatal(err)
	}
	s.file(t, name+"/keys.txt", string(key))
	s.encrypt(o.plain)
	s.unit(t, name+".service", fmt.Sprintf(unitFile, name, o.settings))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("stderr of secretfs:\n%s", s.read(name+"/stderr"))
		}
	})
	return s
}

// started installs and starts it.
func started(t *testing.T, name string, o options) *service {
	t.Helper()
	return startedOn(t, boot(t), name, o)
}

func startedOn(t *testing.T, m *machine, name string, o options) *service {
	t.Helper()
	s := installOn(t, m, name, o)
	s.start(t, name+".service")
	return s
}

// in is a path of the service's folder, as the machine has it.
func (s *service) in(name string) string { return inside + "/" + s.name + "/" + name }

// encrypt renames a new sops file into place.
func (s *service) encrypt(plain string) {
	s.t.Helper()
	s.file(s.t, s.name+"/next.yaml", s.h.Encrypted(plain))
	folder := s.machine.dir + "/" + s.name
	if err := os.Rename(folder+"/next.yaml", folder+"/secrets.yaml"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) status() (st harness.Status) {
	s.t.Helper()
	out := s.must(s.t, inside+"/secretfs", "status", "--json", "--policy", s.in("policy.yaml"))
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return st
}

func (s *service) audit() (records []harness.Record) {
	s.t.Helper()
	for line := range bytes.Lines([]byte(s.read(s.name + "/log/audit.jsonl"))) {
		var r harness.Record
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Fatalf("audit line %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

// recorded says whether the audit log has a line like want: of want, what is
// not empty counts.
func (s *service) recorded(want harness.Record) bool {
	for _, r := range s.audit() {
		if r.Path == want.Path && r.Outcome == want.Outcome && (want.Unit == "" || r.Unit == want.Unit) &&
			(want.Errno == "" || r.Errno == want.Errno) && (want.Exe == "" || strings.HasSuffix(r.Exe, want.Exe)) {
			return true
		}
	}
	s.t.Logf("the audit log:\n%s", s.read(s.name+"/log/audit.jsonl"))
	return false
}

func TestServiceIsReadyWhenStarted(t *testing.T) {
	s := started(t, "ready", options{plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n"})
	if got := s.must(t, "cat", s.dir+"/a"); got != "one" {
		t.Errorf("right after the start: %q", got)
	}
	if got := s.show(t, "ready.service", "StatusText"); got != "serving "+s.dir {
		t.Errorf("StatusText is %q", got)
	}
	pid := s.show(t, "ready.service", "MainPID")
	if got := fmt.Sprint(s.status().HolderPID); got != pid {
		t.Errorf("MainPID is %s, the holder is %s", pid, got)
	}
	before := s.status()
	s.must(t, "systemctl", "reload", "ready.service")
	s.must(t, inside+"/secretfs", "upgrade", "--policy", s.in("policy.yaml"))
	if now := s.status(); now.HolderPID != before.HolderPID || now.WorkerPID == before.WorkerPID {
		t.Errorf("before the upgrade %+v, now %+v", before, now)
	}
	if got := s.show(t, "ready.service", "MainPID"); got != pid {
		t.Errorf("MainPID was %s, is %s", pid, got)
	}
	if got := s.show(t, "ready.service", "ActiveState"); got != "active" {
		t.Errorf("after reload and upgrade it is %s", got)
	}
	if got := s.show(t, "ready.service", "NRestarts"); got != "0" {
		t.Errorf("NRestarts is %s", got)
	}
	s.must(t, "systemctl", "stop", "ready.service")
	if got := s.show(t, "ready.service", "Result"); got != "success" {
		t.Errorf("stopped with %s", got)
	}
	if out, err := s.run("mountpoint", s.dir); err == nil {
		t.Errorf("it is still mounted: %s", out)
	}
}

// TestConsumers reads in every way in which units get secrets.
func TestConsumers(t *testing.T) {
	s := started(t, "feeds", options{
		plain:   "env: |\n  TOKEN=from-the-environment\ncred: from-the-credential\nfile: from-the-file\n",
		secrets: "secrets:\n  env: {backend: main}\n  cred: {backend: main}\n  file: {backend: main, owner: nobody}\n",
	})
	s.unit(t, "eater.service", fmt.Sprintf(`[Service]
Type=oneshot
User=nobody
EnvironmentFile=%[1]s/env
LoadCredential=cred:%[1]s/cred
PrivateMounts=yes
ProtectSystem=strict
StandardOutput=append:%[2]s
ExecStart=/bin/sh -c 'echo "$TOKEN"; cat "$CREDENTIALS_DIRECTORY/cred"; echo; cat %[1]s/file'
`, s.dir, s.in("out")))
	s.start(t, "eater.service")
	if got, want := s.read("feeds/out"), "from-the-environment\nfrom-the-credential\nfrom-the-file"; got != want {
		t.Errorf("the unit got %q, want %q", got, want)
	}
	for _, want := range []harness.Record{
		{Path: "env", Outcome: "allowed", Exe: "systemd", Unit: "init.scope"},
		{Path: "cred", Outcome: "allowed", Unit: "eater.service"},
		{Path: "file", Outcome: "allowed", Exe: "cat", Unit: "eater.service"},
	} {
		if !s.recorded(want) {
			t.Errorf("not recorded: %+v", want)
		}
	}
}

// TestOnlyTheUnit has a rule that names a unit hold against a real one, root
// included.
func TestOnlyTheUnit(t *testing.T) {
	s := started(t, "guards", options{
		plain: "a: for mem0 alone\n", secrets: "secrets:\n  a: {backend: main, mode: \"0444\", only: {units: [mem0.service]}}\n",
	})
	unit := "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cat " + s.dir + "/a >" + inside + "/guards/%n'\n"
	s.unit(t, "mem0.service", unit)
	s.unit(t, "stranger.service", unit)
	s.start(t, "mem0.service")
	if got := s.read("guards/mem0.service"); got != "for mem0 alone" {
		t.Errorf("mem0.service got %q", got)
	}
	if out, err := s.systemctl("start", "stranger.service"); err == nil {
		t.Errorf("stranger.service got %q\n%s", s.read("guards/stranger.service"), out)
	}
	if out, err := s.run("cat", s.dir+"/a"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("root in no unit: %v, %s", err, out)
	}
	for _, want := range []harness.Record{
		{Path: "a", Outcome: "allowed", Unit: "mem0.service", Exe: "/cat"},
		{Path: "a", Outcome: "refused", Unit: "stranger.service", Errno: "EACCES"},
	} {
		if !s.recorded(want) {
			t.Errorf("not recorded: %+v", want)
		}
	}
}

// TestDynamicUser gives a secret to a user who exists only while a unit runs, and
// is known to nss-systemd alone.
func TestDynamicUser(t *testing.T) {
	s := started(t, "names", options{plain: "a: one\n", secrets: "secrets:\n  a: {backend: main, owner: passing}\n"})
	if out, err := s.run("grep", "^passwd:.*systemd", "/etc/nsswitch.conf"); err != nil {
		t.Skipf("SKIPPED: nss-systemd is not in use (Debian: libnss-systemd): %s", out)
	}
	if out, err := s.run("getent", "passwd", "passing"); err == nil {
		t.Fatalf("the user is there before the unit: %s", out)
	}
	s.unit(t, "passing.service", fmt.Sprintf(`[Service]
Type=oneshot
DynamicUser=yes
StandardOutput=append:%s
ExecStart=/bin/sh -c 'until cat %s/a 2>/dev/null; do sleep 0.2; done'
TimeoutStartSec=60
`, s.in("out"), s.dir))
	s.start(t, "passing.service")
	if got := s.read("names/out"); got != "one" {
		t.Errorf("the unit got %q", got)
	}
	for _, r := range s.audit() {
		if r.UID == 0 || r.Outcome == "refused" && r.Rule != "owner passing is unknown" {
			t.Errorf("recorded: %+v", r)
		}
	}
	if !s.recorded(harness.Record{Path: "a", Outcome: "allowed", Unit: "passing.service", Exe: "/cat"}) {
		t.Error("the read is not recorded")
	}
}

// TestJournal has the journal take the records that are in the file.
func TestJournal(t *testing.T) {
	s := started(t, "tells", options{
		plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n  b: {backend: main, key: a, only: {units: [x.service]}}\n", journal: true,
	})
	s.must(t, "cat", s.dir+"/a")
	if out, err := s.run("cat", s.dir+"/b"); err == nil {
		t.Errorf("b was read: %s", out)
	}
	var entry map[string]string
	harness.Eventually(t, "the journal has the refusal", func() bool {
		out, err := s.run("journalctl", "--output=json", "SECRETFS_PATH=b", "SECRETFS_OUTCOME=refused")
		return err == nil && json.Unmarshal([]byte(out), &entry) == nil
	})
	last := s.audit()[len(s.audit())-1]
	for field, want := range map[string]string{
		"MESSAGE":           fmt.Sprintf("refused: b to uid 0, pid %d (%s): EACCES", last.PID, last.Exe),
		"PRIORITY":          "4",
		"SYSLOG_IDENTIFIER": "secretfs",
		"SECRETFS_BACKEND":  "main",
		"SECRETFS_UID":      "0",
		"SECRETFS_ERRNO":    "EACCES",
		"SECRETFS_RULE":     "only: units",
		"SECRETFS_SEQ":      fmt.Sprint(last.Seq),
		"_SYSTEMD_UNIT":     "tells.service",
	} {
		if entry[field] != want {
			t.Errorf("%s is %q, want %q", field, entry[field], want)
		}
	}
	if out := s.must(t, "journalctl", "--output=cat", "SECRETFS_PATH=a"); !strings.HasPrefix(out, "allowed: a to uid 0, pid ") {
		t.Errorf("of a the journal says %q", out)
	}
}

// TestPathUnit has PathChanged= fire when the secret rotates.
func TestPathUnit(t *testing.T) {
	s := started(t, "rotates", options{plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n"})
	s.unit(t, "seen.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cat "+s.dir+"/a >"+s.in("seen")+"'\n")
	s.unit(t, "seen.path", "[Path]\nPathChanged="+s.dir+"/a\n")
	s.start(t, "seen.path")
	for _, value := range []string{"two", "three"} {
		s.encrypt("a: " + value + "\n")
		harness.Eventually(t, "the path unit has seen "+value, func() bool { return s.read("rotates/seen") == value })
	}
}

// TestHiddenMountIsRefused has a unit whose options give it a mount namespace.
func TestHiddenMountIsRefused(t *testing.T) {
	s := install(t, "hidden", options{
		plain: "a: one\n", secrets: "secrets:\n  a: {backend: main}\n", settings: "PrivateTmp=yes\nRestart=no",
	})
	if out, err := s.systemctl("start", "hidden.service"); err == nil {
		t.Errorf("it was started: %s", out)
	}
	want := "this unit has a mount namespace of its own, so that nobody else would see the mount: remove the options that make one (PrivateTmp="
	if got := s.read("hidden/stderr"); !strings.Contains(got, want) {
		t.Errorf("it said %q, want %q", got, want)
	}
	// By hand, below unshare, the namespace is meant.
	out, err := s.run("unshare", "-m", "sh", "-c",
		fmt.Sprintf("%s/secretfs mount --detach --policy %s && cat %s/a && %[1]s/secretfs umount --policy %[2]s", inside, s.in("policy.yaml"), s.dir))
	if err != nil || !strings.Contains(out, "one") {
		t.Errorf("below unshare: %v\n%s", err, out)
	}
}
