// Package harness mounts the built program for tests: a policy, a sops file
// encrypted by the real sops, a real mount, and everything gone afterwards.
package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Options say what to mount. The zero value serves Plain, everything in one
// dynamic directory, to root.
type Options struct {
	// Plain is the plaintext of the sops file.
	Plain string
	// Ext is the extension of the sops file, ".yaml" if empty.
	Ext string
	// Policy is the part of the policy after mount, control, audit and
	// backends; "directories: {\"\": {backend: main}}" if empty.
	Policy string
	// Head replaces backends: and is put before Policy.
	Head string
	// NoMount leaves the mounting to the test.
	NoMount bool
	// Wrap is a command line to start the program under, as unshare(1).
	Wrap []string
}

// A Mount is a mounted secretfs with its files, in a folder of its own.
type Mount struct {
	t testing.TB
	// Root is the folder with all that belongs to this mount; Dir the mount.
	Root, Dir string
	// Policy, Secrets, Keys, Control and AuditLog are files in Root.
	Policy, Secrets, Keys, Control, AuditLog string
	Recipient                                string
	program                                  string
	wrap                                     []string
}

// New makes the files and mounts. Everything is taken away when the test ends;
// a mount that cannot be taken away is an error.
func New(t testing.TB, o Options) *Mount {
	t.Helper()
	root, err := os.MkdirTemp("", rootPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if o.Ext == "" {
		o.Ext = ".yaml"
	}
	m := &Mount{
		t: t, Root: root, Dir: root + "/mnt", program: Program(t), wrap: o.Wrap,
		Policy: root + "/policy.yaml", Secrets: root + "/secrets" + o.Ext, Keys: root + "/keys.txt",
		Control: root + "/control.sock", AuditLog: root + "/log/audit.jsonl",
	}
	t.Cleanup(m.remove)
	m.newKey()
	m.Encrypt(o.Plain)
	m.WritePolicy(o)
	if !o.NoMount {
		m.Mount()
	}
	return m
}

func (m *Mount) newKey() {
	m.t.Helper()
	identity, recipient := newIdentity(m.t)
	m.Recipient = recipient
	m.write(m.Keys, identity+"\n", 0o600)
}

// WritePolicy writes the policy file anew.
func (m *Mount) WritePolicy(o Options) {
	m.t.Helper()
	head := o.Head
	if head == "" {
		head = fmt.Sprintf("backends:\n  main: {type: sops, file: %s, age: {key_files: [%s]}}\n", filepath.Base(m.Secrets), filepath.Base(m.Keys))
	}
	rest := o.Policy
	if rest == "" {
		rest = "directories:\n  \"\": {backend: main}\n"
	}
	m.write(m.Policy, fmt.Sprintf("mount: %s\ncontrol: %s\naudit: {file: %s, journal: false}\n%s%s", m.Dir, m.Control, m.AuditLog, head, rest), 0o644)
}

func (m *Mount) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// Encrypt has sops encrypt plain and renames the result over the sops file, as
// sops, editors and git do.
func (m *Mount) Encrypt(plain string) {
	m.t.Helper()
	next := filepath.Join(m.Root, "next"+filepath.Ext(m.Secrets))
	m.write(next, m.Encrypted(plain), 0o600)
	if err := os.Rename(next, m.Secrets); err != nil {
		m.t.Fatal(err)
	}
}

// Encrypted is plain as the real sops encrypts it.
func (m *Mount) Encrypted(plain string) string {
	m.t.Helper()
	return m.EncryptedAs(filepath.Ext(m.Secrets), plain)
}

// EncryptedAs is Encrypted for a file with another extension.
func (m *Mount) EncryptedAs(ext, plain string) string {
	m.t.Helper()
	in := filepath.Join(m.Root, "plain"+ext)
	m.write(in, plain, 0o600)
	defer os.Remove(in)
	cmd := exec.Command(Sops(m.t), "--disable-version-check", "encrypt", "--age", m.Recipient, in)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("sops encrypt: %v\n%s", err, problems.String())
	}
	return out.String()
}

// Mount starts the program and returns when it is mounted.
func (m *Mount) Mount() {
	m.t.Helper()
	if out, err := m.TryMount(); err != nil {
		m.t.Fatalf("secretfs mount: %v\n%s", err, out)
	}
}

// TryMount starts the program in the background and tells how it went.
func (m *Mount) TryMount() (string, error) {
	log, err := os.OpenFile(m.Root+"/stderr", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd := m.command("mount", "--detach", "--policy", m.Policy)
	cmd.Stderr = log
	err = cmd.Run()
	return m.Log(), err
}

// Start starts the program in the foreground and returns when it is mounted.
func (m *Mount) Start() *exec.Cmd {
	m.t.Helper()
	log, err := os.OpenFile(m.Root+"/stderr", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	cmd := m.command("mount", "--policy", m.Policy)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	Eventually(m.t, "it is mounted", m.mounted)
	return cmd
}

func (m *Mount) command(args ...string) *exec.Cmd {
	argv := append(append(append([]string(nil), m.wrap...), m.program), args...)
	return exec.Command(argv[0], argv[1:]...)
}

// Log is what the program has written to stderr and, in the background, to its
// log.
func (m *Mount) Log() string {
	said, _ := os.ReadFile(m.Root + "/stderr")
	logged, _ := os.ReadFile(strings.TrimSuffix(m.Control, ".sock") + ".log")
	return string(said) + string(logged)
}

// Run runs a command of the program that talks to this mount.
func (m *Mount) Run(command string, args ...string) (string, error) {
	args = append([]string{command, "--control", m.Control}, args...)
	out, err := exec.Command(m.program, args...).CombinedOutput()
	return string(out), err
}

// Must is Run, and a failed test if it does not work.
func (m *Mount) Must(command string, args ...string) string {
	m.t.Helper()
	out, err := m.Run(command, args...)
	if err != nil {
		m.t.Fatalf("secretfs %s: %v\n%s", command, err, out)
	}
	return out
}

// VerifyAudit has the audit log verified.
func (m *Mount) VerifyAudit() {
	m.t.Helper()
	if out, err := exec.Command(m.program, "audit", "verify", "--file", m.AuditLog).CombinedOutput(); err != nil {
		m.t.Errorf("secretfs audit verify: %v\n%s", err, out)
	}
}

// Path is where a secret is.
func (m *Mount) Path(name string) string { return filepath.Join(m.Dir, name) }

// Read reads a secret.
func (m *Mount) Read(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.Path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// Eventually waits until ok holds, for what happens by itself.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited 20 s in vain: %s", what)
}

// Rotate encrypts plain and waits until name reads as want.
func (m *Mount) Rotate(plain, name, want string) {
	m.t.Helper()
	m.Encrypt(plain)
	Eventually(m.t, name+" has its new value", func() bool {
		b, _ := os.ReadFile(m.Path(name))
		return string(b) == want
	})
}
