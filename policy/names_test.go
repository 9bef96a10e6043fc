package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy"
)

// A directory is a name service of a test.
type directory struct {
	mu    sync.Mutex
	ids   map[string]uint32
	err   error // in place of an answer
	asked map[string]int
}

func (d *directory) set(ids map[string]uint32, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids, d.err = ids, err
}

func (d *directory) lookup(_ context.Context, db policy.Database, name string) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := string(db) + " " + name
	if d.asked == nil {
		d.asked = map[string]int{}
	}
	d.asked[key]++
	if d.err != nil {
		return 0, d.err
	}
	if id, ok := d.ids[key]; ok {
		return id, nil
	}
	return 0, fmt.Errorf("asking for %s: %w", key, policy.ErrNoSuchName)
}

func (d *directory) asks(key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[key]
}

// newNames returns running Names over files of their own.
func newNames(t *testing.T, passwd, group string, lookup policy.Lookup) (names *policy.Names, passwdFile string) {
	t.Helper()
	cfg := policy.NamesConfig{
		Passwd: filepath.Join(t.TempDir(), "passwd"), Group: filepath.Join(t.TempDir(), "group"),
		Lookup: lookup, Recheck: 5 * time.Millisecond, FirstRetry: time.Millisecond, MaxRetry: 5 * time.Millisecond,
	}
	replace(t, cfg.Passwd, passwd)
	replace(t, cfg.Group, group)
	names = policy.NewNames(cfg)
	run(t, names.Run)
	return names, cfg.Passwd
}

func run(t *testing.T, task func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { task(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// replace replaces a file whole, as useradd(8) does.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what background work brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func perm(owner, group string) *policy.Perm {
	return &policy.Perm{Owner: owner, Group: group, Mode: 0o644}
}

func using(perms ...*policy.Perm) *policy.Policy {
	p := &policy.Policy{Default: perm("0", "0")}
	for _, pm := range perms {
		p.Secrets = append(p.Secrets, policy.Secret{Perm: pm})
	}
	return p
}

const (
	passwdText = "root:x:0:0:root:/root:/bin/sh\n+nis\n\nbad:x:nan:0::/:\nmem0:x:501:502:m:/:/bin/sh\nmem0:x:999:999::/:\nshort:x:7\n"
	groupText  = "root:x:0:\nstaff:x:50:a,b\n"
)

func TestNamesFromFiles(t *testing.T) {
	names, _ := newNames(t, passwdText, groupText, nil)
	all := []*policy.Perm{perm("root", "staff"), perm("mem0", "root"), perm("short", "77"), perm("bad", "staff"), perm("root", "mem0"), perm("4000000000", "5000000000")}
	names.Use(using(all...))
	for i, want := range []policy.Owned{
		{UID: 0, GID: 50, Mode: 0o644},
		{UID: 501, GID: 0, Mode: 0o644}, // the first line of a name counts
		{UID: 7, GID: 77, Mode: 0o644},
		{Mode: 0o600}, // root's alone
		{Mode: 0o600},
		{Mode: 0o600},
	} {
		if got := names.File(all[i]); got != want {
			t.Errorf("%s:%s is %+v, want %+v", all[i].Owner, all[i].Group, got, want)
		}
	}
	if uid, ok := names.Owner(all[1]); uid != 501 || !ok {
		t.Errorf("mem0 is %d, %v", uid, ok)
	}
	if _, ok := names.Group(all[4]); ok {
		t.Error("a user's name was taken for a group's")
	}
	var unresolved []string
	for _, u := range names.Unresolved() {
		if !errors.Is(u.Err, policy.ErrNoSuchName) {
			t.Errorf("%s: %v", u.Name, u.Err)
		}
		unresolved = append(unresolved, string(u.Database)+" "+u.Name)
	}
	if want := []string{"group 5000000000", "group mem0", "passwd bad"}; !slices.Equal(unresolved, want) {
		t.Errorf("unresolved are %q, want %q", unresolved, want)
	}
}

// One unknown name must not shut others out of a directory that everybody may
// search.
func TestNamesUnknownDirectory(t *testing.T) {
	names, _ := newNames(t, "", "", nil)
	for mode, want := range map[uint32]uint32{0o755: 0o705, 0o750: 0o700, 0o777: 0o707, 0o705: 0o700, 0o751: 0o701, 0o111: 0o101} {
		got := names.Dir(perm("ghost", "0"), mode)
		if got != (policy.Owned{Mode: want, Dir: true}) {
			t.Errorf("%o becomes %+v, want %o", mode, got, want)
		}
	}
}

func TestNamesAskDirectory(t *testing.T) {
	ldap := &directory{ids: map[string]uint32{"passwd ldapuser": 70001, "group ldapgroup": 70002}}
	names, _ := newNames(t, passwdText, groupText, ldap.lookup)
	user, group, only := perm("ldapuser", "root"), perm("root", "ldapgroup"), perm("root", "root")
	only.Only = policy.Only{Users: []string{"later", "12"}, Groups: []string{"staff"}}
	names.Use(using(user, group, only))
	names.Settle(t.Context())
	if got := names.File(user); got != (policy.Owned{UID: 70001, Mode: 0o644}) {
		t.Errorf("ldapuser is %+v", got)
	}
	if got := names.File(group); got != (policy.Owned{GID: 70002, Mode: 0o644}) {
		t.Errorf("ldapgroup is %+v", got)
	}
	if u := names.Unresolved(); len(u) != 1 || u[0].Name != "later" {
		t.Errorf("unresolved are %v", u)
	}
	for _, key := range []string{"passwd root", "passwd 12", "group staff"} {
		if ldap.asks(key) > 0 {
			t.Errorf("asked for %s, which needs no asking", key)
		}
	}

	// A name that appears later is found without being told.
	ldap.set(map[string]uint32{"passwd ldapuser": 70001, "group ldapgroup": 70002, "passwd later": 3}, nil)
	eventually(t, "the name resolves", func() bool { return len(names.Unresolved()) == 0 })

	// A service that fails changes nothing; one that knows the name no longer
	// does, since its id may be another user's by now.
	before := ldap.asks("passwd ldapuser")
	ldap.set(nil, errors.New("no route to host"))
	eventually(t, "it is asked again", func() bool { return ldap.asks("passwd ldapuser") > before+1 })
	if uid, ok := names.Owner(user); uid != 70001 || !ok {
		t.Errorf("while the service fails, ldapuser is %d, %v", uid, ok)
	}
	ldap.set(nil, nil)
	eventually(t, "the id is dropped", func() bool { _, ok := names.Owner(user); return !ok })
}

// A name service that hangs keeps neither the names of the files nor Use.
func TestNamesHangingDirectory(t *testing.T) {
	names, _ := newNames(t, passwdText, groupText, func(ctx context.Context, _ policy.Database, _ string) (uint32, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	names.Use(using(perm("mem0", "root"), perm("ghost", "root")))
	names.Use(using(perm("mem0", "staff"), perm("ghost", "root")))
	if got := names.File(perm("mem0", "staff")); got.UID != 501 || got.GID != 50 {
		t.Errorf("mem0:staff is %+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	names.Settle(ctx) // ends with ctx
	if ctx.Err() == nil {
		t.Error("settled without an answer")
	}
}

func TestNamesFollowFiles(t *testing.T) {
	names, passwd := newNames(t, passwdText, groupText, nil)
	mem0, late := perm("mem0", "root"), perm("late", "root")
	names.Use(using(mem0, late))
	replace(t, passwd, "root:x:0:0\nlate:x:600:0\n")
	eventually(t, "the new user is known and the old one is not", func() bool {
		_, known := names.Owner(mem0)
		uid, ok := names.Owner(late)
		return !known && ok && uid == 600
	})
	replace(t, passwd, "root:x:0:0\nmem0:x:501:0\n")
	names.Refresh() // at once
	if uid, ok := names.Owner(mem0); uid != 501 || !ok {
		t.Errorf("after Refresh mem0 is %d, %v", uid, ok)
	}
}

// While a reload swaps policies, requests of the old one still find its names.
func TestNamesKeepThoseOfThePolicyBefore(t *testing.T) {
	names, _ := newNames(t, passwdText, groupText, nil)
	mem0 := perm("mem0", "root")
	names.Use(using(mem0, perm("ghost", "root")))
	names.Use(using(perm("root", "root")))
	if _, ok := names.Owner(mem0); !ok {
		t.Error("the name of the policy before is forgotten")
	}
	if u := names.Unresolved(); len(u) > 0 {
		t.Errorf("names of the policy before are reported: %v", u)
	}
	names.Use(using(perm("root", "root")))
	if _, ok := names.Owner(mem0); ok {
		t.Error("names of all policies are kept")
	}
}

// A reader that is refused for want of a name need not wait for the end of a
// long pause.
func TestNamesKick(t *testing.T) {
	ldap := &directory{}
	names := policy.NewNames(policy.NamesConfig{
		Passwd: "/nonexistent", Group: "/nonexistent",
		Lookup: ldap.lookup, Recheck: time.Hour, FirstRetry: time.Millisecond, MaxRetry: time.Hour,
	})
	run(t, names.Run)
	names.Use(using(perm("late", "root")))
	// By then it pauses for 0.5 s, and for 16 s before the sixth time from now.
	const asks = 10
	eventually(t, "it tries less and less often", func() bool { return ldap.asks("passwd late") >= asks })
	eventually(t, "it is made to try", func() bool {
		names.Kick()
		return ldap.asks("passwd late") > asks+6
	})
}

// The worker that follows a killed one knows at once what that one was told.
func TestNamesSurviveTheWorker(t *testing.T) {
	ldap := &directory{ids: map[string]uint32{"passwd ldapuser": 70001, "group ldapgroup": 70002}}
	p := using(perm("ldapuser", "ldapgroup"), perm("mem0", "root"))
	first, _ := newNames(t, passwdText, groupText, ldap.lookup)
	first.Use(p)
	first.Settle(t.Context())
	saved := first.Save()
	if string(saved) != "group:ldapgroup:70002\npasswd:ldapuser:70001\n" {
		t.Errorf("saved %q", saved)
	}

	ldap.set(nil, errors.New("no route to host"))
	second, _ := newNames(t, passwdText, groupText, ldap.lookup)
	second.Restore(append(saved, "passwd:mem0:7\nshadow:x:1\npasswd:y\n\n"...))
	second.Use(p)
	if got := second.File(p.Secrets[0].Perm); got.UID != 70001 || got.GID != 70002 {
		t.Errorf("ldapuser:ldapgroup is %+v", got)
	}
	if uid, ok := second.Owner(p.Secrets[1].Perm); uid != 501 || !ok {
		t.Errorf("mem0 is %d, %v: the file counts", uid, ok)
	}
	ldap.set(nil, nil)
	eventually(t, "the name service is asked again", func() bool { return len(second.Unresolved()) == 2 })
}
