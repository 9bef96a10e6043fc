// Package harness mounts the built program for tests: a policy, a sops file
// encrypted by the real sops, a real mount, and everything gone afterwards.
package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Environment variables with which `make test` names what it has built.
const (
	envProgram = "SECRETFS_BIN"
	envSops    = "SECRETFS_SOPS"
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
	if err != nil {
		panic(err)
	}
	return dir
})

// Main runs the tests of a package and fails it if anything is left behind.
func Main(m *testing.M) int {
	code := m.Run()
	os.RemoveAll(scratch())
	if left := Leftovers(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "left behind:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return code
}

// rootPrefix begins the names of this process's folders: other packages are
// tested at the same time.
func rootPrefix() string { return fmt.Sprintf("sfs%d-", os.Getpid()) }

// Leftovers lists mounts of ours that this process has made.
func Leftovers() (left []string) {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " fuse.secretfs ") && strings.Contains(line, "/"+rootPrefix()) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

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

// decoded JSON of `secretfs status`.
type Status struct {
	HolderPID int `json:"holder_pid"`
	WorkerPID int `json:"worker_pid"`
	Restarts  int
	Notices   []string
	Backends  []struct{ Name, State, Error string }
	Secrets   []struct {
		Path, State, Version, Error string
		Size                        int64
	}
}

// Status asks the running mount.
func (m *Mount) Status() Status {
	m.t.Helper()
	var s Status
	if err := json.Unmarshal([]byte(m.Must("status", "--json")), &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// KillWorker sends SIGKILL to the worker and returns once another serves.
func (m *Mount) KillWorker() {
	m.t.Helper()
	pid := m.Status().WorkerPID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.t.Fatalf("killing worker %d: %v", pid, err)
	}
	Eventually(m.t, "another worker serves", func() bool { return m.Status().WorkerPID != pid })
}

// A Record is a line of the audit log.
type Record struct {
	Seq                                     uint64
	Outcome, Path, Version, Exe, Unit, Rule string
	Errno                                   string
	PID, TID, UID, GID                      uint32
	Resent                                  bool
}

// Audit reads the audit log.
func (m *Mount) Audit() (records []Record) {
	m.t.Helper()
	b, err := os.ReadFile(m.AuditLog)
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			m.t.Fatalf("audit line %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

// Unmount ends the mount, lazily if it is busy.
func (m *Mount) Unmount() {
	m.t.Helper()
	if out, err := m.Run("umount", "--lazy"); err != nil {
		m.t.Logf("secretfs umount: %v\n%s", err, out)
	}
}

// remove takes everything away, whatever state the test left it in.
func (m *Mount) remove() {
	if m.t.Failed() {
		m.t.Logf("stderr of secretfs:\n%s", m.Log())
	}
	if _, err := os.Stat(m.Control); err == nil {
		m.Unmount()
	}
	for range 100 {
		if !m.mounted() && !m.running() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, pid := range m.processes() {
		m.t.Errorf("process %d of the mount is left", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for m.mounted() {
		m.t.Errorf("%s is still mounted", m.Dir)
		if syscall.Unmount(m.Dir, syscall.MNT_DETACH|syscall.MNT_FORCE) != nil && exec.Command("fusermount3", "-uz", m.Dir).Run() != nil {
			break
		}
	}
	if err := os.RemoveAll(m.Root); err != nil {
		m.t.Errorf("removing the files of the mount: %v", err)
	}
}

func (m *Mount) mounted() bool {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return strings.Contains(string(mounts), " "+m.Dir+" ")
}

// Workers are the pids of this mount's workers that are not dead.
func (m *Mount) Workers() (pids []int) {
	for _, pid := range m.processes() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(b), "\x00worker\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (m *Mount) running() bool { return len(m.processes()) > 0 }

// processes are the holder and workers of this mount, by their command line.
func (m *Mount) processes() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		argv := strings.Split(string(b), "\x00")
		if len(argv) >= 3 && (argv[1] == "holder" || argv[1] == "worker") && argv[2] == m.Policy {
			var pid int
			fmt.Sscanf(f, "/proc/%d/", &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}
