// Package permission holds the proof that the permission check is the kernel's:
// what caller.Lookup and policy.Owned.Permits say of random callers and files
// is compared with what the kernel does on a tmpfs; and the same callers meet
// the same owners and modes on a real mount.
package permission

import (
	"encoding/gob"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/tests/harness"
	"golang.org/x/sys/unix"
)

const (
	identities = 500 // in each namespace
	branches   = 8   // for each identity
	onMount    = 4   // of these are on the mount too: 12,000 combinations
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case roleChild:
		err = playCaller()
	case roleNest:
		err = nest()
	default:
		os.Exit(harness.Main(m))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// seed may be given to repeat a failure.
func seed(t *testing.T) uint64 {
	const env = "SECRETFS_TEST_SEED"
	s := uint64(time.Now().UnixNano())
	if given := os.Getenv(env); given != "" {
		var err error
		if s, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("%s: %v", env, err)
		}
	}
	t.Logf("repeat with %s=%d", env, s)
	return s
}

func TestPermissionIsTheKernels(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to be every other user")
	}
	s := seed(t)
	var all [len(namespaces)][identities]drawn
	for i, ns := range namespaces {
		all[i] = draw(rand.New(rand.NewPCG(s, uint64(i))), ns)
	}
	m := mountSecrets(t, all[:])
	tree := mountTree(t)
	proc, err := caller.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proc.Close() })
	grounds := map[string]int{}
	combinations := 0
	for i, ns := range namespaces {
		t.Run(ns.name, func(t *testing.T) {
			p := &prover{t: t, ns: ns, tree: tree, proc: proc, mount: m, grounds: grounds}
			p.start()
			for j := range all[i] {
				p.round(&all[i][j], (i*identities+j)*onMount)
			}
			combinations += identities * branches
		})
	}
	if t.Failed() {
		return
	}
	m.checkAudit(t)
	if combinations < len(namespaces)*identities*branches {
		return // skipped in part, as has been said
	}
	t.Logf("%d combinations; calls by what decided: %v", combinations, grounds)
	for _, by := range []string{policy.ByOwner, policy.ByGroup, policy.ByOther, policy.ByDACOverride, policy.ByDACReadSearch, ""} {
		if grounds[by] < 1000 {
			t.Errorf("%q decided only %d calls: the draw proves little", by, grounds[by])
		}
	}
}

// mountTree makes a tmpfs with the branches 0/d/f, 1/d/f and so on.
func mountTree(t *testing.T) *os.File {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size=1m"); err != nil {
		t.Skipf("SKIPPED: mounting a tmpfs is not permitted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("leaving a tmpfs behind: %v", err)
		}
	})
	for i := range branches {
		d := fmt.Sprintf("%s/%d/d", dir, i)
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d+"/f", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	return tree
}

// A prover compares for one namespace.
type prover struct {
	t       *testing.T
	ns      namespace
	tree    *os.File
	proc    *caller.Proc
	mount   *mounted
	grounds map[string]int // ground -> calls

	in  *gob.Encoder
	out *gob.Decoder
}

func (p *prover) start() {
	p.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	role := roleChild
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{p.tree, p.mount.root}
	ns := p.ns
	if ns.started != nil {
		role, ns = roleNest, *ns.started
	}
	cmd.Env = []string{roleEnv + "=" + role, "GORACE=atexit_sleep_ms=0"}
	if ns.uids != nil {
		cmd.SysProcAttr = inUserNS(ns.uids, ns.gids)
	}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		p.t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		if ns.uids != nil {
			p.t.Skipf("SKIPPED: user namespaces are not permitted: %v", err)
		}
		p.t.Fatal(err)
	}
	p.in, p.out = gob.NewEncoder(stdin), gob.NewDecoder(stdout)
	p.t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			p.t.Errorf("the caller ended with %v", err)
		}
	})
}

// round has one caller try its branches, which are those from first on in the
// mount.
func (p *prover) round(d *drawn, first int) {
	var r ready
	p.exchange(d.id, &r)
	if r.Err != "" {
		p.t.Fatalf("putting on %+v: %s", d.id, r.Err)
	}
	var trials []trial
	for i, b := range d.branches {
		p.grow(i, b)
		trials = append(trials, trialsOf(i, b, d.id)...)
	}
	found := p.lookup(uint32(r.TID), d.id)
	calls := make([]call, len(trials))
	for i := range trials {
		calls[i] = trials[i].call
	}
	again := repeat(trials, first)
	for _, a := range again {
		calls = append(calls, a.call)
	}
	var results []unix.Errno
	p.exchange(calls, &results)
	for i, tr := range trials {
		p.compare(d.id, &found, tr, results[i])
	}
	for i, a := range again {
		p.compareMount(d.id, &found, a, results[a.of], results[len(trials)+i])
	}
}

func (p *prover) exchange(question, answer any) {
	p.t.Helper()
	if err := p.in.Encode(question); err != nil {
		p.t.Fatal(err)
	}
	if err := p.out.Decode(answer); err != nil {
		p.t.Fatal(err)
	}
}

func (p *prover) grow(i int, b branch) {
	p.t.Helper()
	for depth, name := range []string{"", "/d", "/d/f"} {
		path, o := strconv.Itoa(i)+name, b[depth]
		if err := unix.Fchownat(int(p.tree.Fd()), path, int(o.UID), int(o.GID), 0); err != nil {
			p.t.Fatal(err)
		}
		if err := unix.Fchmodat(int(p.tree.Fd()), path, o.Mode, 0); err != nil {
			p.t.Fatal(err)
		}
	}
}

// seen is the caller as it shows in OPEN and in ACCESS, by the kind of call. The
// FUSE header has the ids that the kernel checks with: those for files, and in
// access(2) the real ones.
type seen [callChdir + 1]policy.Caller

func (p *prover) lookup(tid uint32, id identity) seen {
	p.t.Helper()
	fsuid, _ := outside(p.ns.uids, id.FSUID)
	fsgid, _ := outside(p.ns.gids, id.FSGID)
	ruid, _ := outside(p.ns.uids, id.RUID)
	rgid, _ := outside(p.ns.gids, id.RGID)
	var found seen
	for kind, as := range map[callKind]struct {
		uid, gid uint32
		needs    caller.Needs
	}{
		callOpen:      {fsuid, fsgid, caller.NeedPower},
		callStat:      {fsuid, fsgid, caller.NeedPower},
		callAccess:    {ruid, rgid, caller.NeedReal},
		callEffAccess: {fsuid, fsgid, caller.NeedReal},
		callChdir:     {fsuid, fsgid, caller.NeedReal | caller.NeedPower},
	} {
		var err error
		if found[kind], err = p.proc.Lookup(tid, as.uid, as.gid, as.needs); err != nil {
			p.t.Fatal(err)
		}
	}
	return found
}

func (p *prover) compare(id identity, found *seen, tr trial, errno unix.Errno) {
	p.t.Helper()
	c := &found[tr.Kind]
	ok, by := tr.permits(c)
	p.grounds[by]++
	if errno != 0 && errno != unix.EACCES {
		p.t.Fatalf("%+v: %v, which is not about permission", tr, errno)
	}
	if ok != (errno == 0) {
		p.t.Fatalf("%s: the kernel says %v, we say %v by %q\nidentity %+v\n  caller %+v\n   trial %s",
			p.ns.name, errno, ok, by, id, *c, tr)
	}
	if tr.suffices(c) && errno != 0 {
		p.t.Fatalf("%s: ids %d:%d should suffice, the kernel says %v\nidentity %+v\n   trial %s", p.ns.name, c.UID, c.GID, errno, id, tr)
	}
}
