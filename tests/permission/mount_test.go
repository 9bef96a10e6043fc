package permission

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/tests/harness"
	"golang.org/x/sys/unix"
)

// A mounted is the built program serving the branches that are for it: of the
// Nth the directories are N and N/d, the secret is N/d/f.
type mounted struct {
	*harness.Mount
	root  *os.File
	opens []opened // in the order in which they happened
}

// opened is an open(2) that is to have a line in the audit log.
type opened struct {
	path     string
	uid, gid uint32 // as the FUSE header has them
	errno    unix.Errno
}

// mountSecrets mounts once, for all namespaces. Nothing lingers, so that thousands
// of values are not in memory at once.
func mountSecrets(t *testing.T, all [][identities]drawn) *mounted {
	t.Helper()
	secrets, dirs := map[string]any{}, map[string]any{}
	n := 0
	for i := range all {
		for _, d := range all[i] {
			for _, b := range d.branches[:onMount] {
				top := strconv.Itoa(n)
				dirs[top], dirs[top+"/d"], secrets[top+"/d/f"] = entry(b[0]), entry(b[1]), entry(b[2])
				n++
			}
		}
	}
	text, err := json.Marshal(map[string]any{"secrets": secrets, "directories": dirs})
	if err != nil {
		t.Fatal(err)
	}
	m := &mounted{Mount: harness.New(t, harness.Options{Plain: "v: x\n", NoMount: true})}
	m.writeJSON(t, text)
	m.Mount.Mount()
	if m.root, err = os.Open(m.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.root.Close() })
	return m
}

// writeJSON writes the policy as JSON, which is read faster.
func (m *mounted) writeJSON(t *testing.T, entries []byte) {
	t.Helper()
	head, err := json.Marshal(map[string]any{
		"mount": m.Dir, "control": m.Control, "linger": "0s",
		"audit":    map[string]any{"file": m.AuditLog, "journal": false},
		"backends": map[string]any{"main": map[string]any{"type": "sops", "file": m.Secrets, "age": map[string]any{"key_files": []string{m.Keys}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := append(append(head[:len(head)-1], ','), entries[1:]...)
	if err := os.WriteFile(m.Policy, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// entry is what the policy says of a directory or secret.
func entry(o policy.Owned) map[string]any {
	e := map[string]any{"uid": o.UID, "gid": o.GID}
	mode := fmt.Sprintf("%04o", o.Mode)
	if o.Dir {
		e["dir_mode"] = mode
	} else {
		e["mode"], e["backend"], e["key"] = mode, "main", "v"
	}
	return e
}

// An again is a trial that is made on the mount too.
type again struct {
	trial
	of int // which of the trials on the tmpfs it repeats
}

// repeat picks what is repeated on the mount: all that reads a secret, and of the
// other calls one for each branch, another one each time.
func repeat(trials []trial, first int) (all []again) {
	perBranch := len(trials) / branches
	for i, tr := range trials[:onMount*perBranch] {
		if !tr.reads() && i%perBranch != first/onMount%perBranch {
			continue
		}
		branch, rest, _ := strings.Cut(tr.Path, "/")
		n, _ := strconv.Atoi(branch) // trialsOf has put it there
		tr.On, tr.Path = mountFD, strconv.Itoa(first+n)+"/"+rest
		all = append(all, again{tr, i})
	}
	return all
}

// reads says that tr opens a secret to read it.
func (tr trial) reads() bool { return tr.Kind == callOpen && tr.Arg == unix.O_RDONLY }

// expected is what the mount has to answer where a tmpfs says errno: the same, but
// that nothing is writable, which the kernel says before it asks us, and that
// names, lengths and modes can be seen without search permission: while the kernel
// has them in its cache it does not ask who may.
func (tr trial) expected(errno unix.Errno) unix.Errno {
	switch {
	case tr.want&policy.WantWrite != 0:
		return unix.EROFS
	case tr.want == 0:
		return 0
	}
	return errno
}

// looksLikeChdir says that FUSE sends the same for tr by a caller as for chdir(2),
// which has to work: there the effective capabilities count.
func (tr trial) looksLikeChdir(id *identity) bool {
	return tr.Kind == callAccess && tr.way[len(tr.way)-1].Dir && tr.want == policy.WantExec &&
		id.RUID == id.FSUID && id.RGID == id.FSGID
}

func (p *prover) compareMount(id identity, found *seen, a again, tmpfs, mount unix.Errno) {
	p.t.Helper()
	c := &found[a.Kind]
	if a.looksLikeChdir(&id) {
		c, tmpfs = &found[callChdir], unix.EACCES
		if ok, _ := a.permits(c); ok {
			tmpfs = 0
		}
	}
	if want := a.expected(tmpfs); mount != want {
		p.t.Fatalf("%s: on the mount %s, want %s: a tmpfs says %s\nidentity %+v\n  caller %+v\n   trial %s",
			p.ns.name, name(mount), name(want), name(tmpfs), id, *c, a)
	}
	if a.reads() {
		p.mount.opens = append(p.mount.opens, opened{a.Path, c.UID, c.GID, mount})
	}
}

func name(errno unix.Errno) string {
	if errno == 0 {
		return "success"
	}
	return unix.ErrnoName(errno)
}

// checkAudit has one line in the log for each open, refused ones too, and no
// other.
func (m *mounted) checkAudit(t *testing.T) {
	t.Helper()
	records := m.Audit()
	if len(records) != len(m.opens) {
		t.Errorf("%d audit lines for %d opens", len(records), len(m.opens))
	}
	for i := range min(len(records), len(m.opens)) {
		r, want := records[i], m.opens[i]
		outcome, errno := "allowed", ""
		if want.errno != 0 {
			outcome, errno = "refused", unix.ErrnoName(want.errno)
		}
		if got := (harness.Record{Path: r.Path, UID: r.UID, GID: r.GID, Outcome: r.Outcome, Errno: r.Errno}); got !=
			(harness.Record{Path: want.path, UID: want.uid, GID: want.gid, Outcome: outcome, Errno: errno}) {
			t.Fatalf("audit line %d is %+v, want %s of %+v", i+1, got, outcome, want)
		}
	}
	m.VerifyAudit()
}
