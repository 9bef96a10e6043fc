package mount

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The uids that no user has, one for each place among the helpers that run. The
// range is "unused" in systemd's table of uids ("Users, Groups, UIDs and GIDs on
// systemd Systems"): below it are containers, above it foreign files.
const (
	ownUIDs = 1_900_000_000
	nobody  = 65534 // where a user namespace does not map those
)

// A Confinement is what a process makes of itself before it becomes a helper.
type Confinement struct {
	User  string `json:"user,omitempty"`  // name or number; without one, UID
	UID   int    `json:"uid"`             // of nobody else
	Caps  []int  `json:"caps,omitempty"`  // kept under UID
	Leave string `json:"leave,omitempty"` // the mount that it does not see
	CPU   uint64 `json:"cpu,omitempty"`   // seconds of processor time, 0: any
}

// check refuses what cannot work before anything is started.
func (c Confinement) check() error {
	if strings.ContainsAny(c.User, ":/\n\x00") || len(c.User) > 256 {
		return fmt.Errorf("no user can be called %q", c.User)
	}
	if euid := os.Geteuid(); euid != 0 && c.User != "" && c.User != strconv.Itoa(euid) {
		return fmt.Errorf("running it as user %s takes a system mount", c.User)
	}
	return nil
}

// Become turns this process, which must have done nothing else yet, into the
// helper argv under the Confinement spec. It returns only if that fails.
//
// It is the kernel's affair that the calling thread's credentials become the
// process's at execve(2): the other threads end there.
func Become(spec string, argv []string) error {
	runtime.LockOSThread()
	var c Confinement
	if err := json.Unmarshal([]byte(spec), &c); err != nil || len(argv) == 0 {
		return errors.New("a helper is started by secretfs mount, not by hand")
	}
	env := os.Environ()
	if err := c.limit(); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		who, err := c.account()
		if err != nil {
			return err
		}
		if who.home != "" {
			env = who.env(env)
		}
		if err := leaveMount(c.Leave); err != nil {
			return err
		}
		if err := c.drop(who); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	unix.Umask(0o077)
	// Only the standard descriptors and the socket: what the holder has
	// inherited, from a shell for one, does not go on.
	if err := unix.CloseRange(4, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("closing descriptors: %w", err)
	}
	program := argv[0]
	if program == "/proc/self/exe" {
		argv = append([]string{"secretfs"}, argv[1:]...)
	}
	return fmt.Errorf("running %s as uid %d: %w", filepath.Base(program), os.Getuid(), syscall.Exec(program, argv, env))
}

// account is who to become. A uid of its own has no home; what is there to be
// read are the holder's credential files.
func (c Confinement) account() (account, error) {
	if c.User != "" {
		return lookAccount(c.User, "/etc/passwd", "/etc/group")
	}
	a := account{uid: c.UID, gid: c.UID}
	if os.Getenv("HOME") == "" { // as in a systemd system service
		root, err := lookAccount("0", "/etc/passwd", "/etc/group")
		if err != nil {
			return a, err
		}
		a.home = root.home
	}
	return a, nil
}

// leaveMount takes our mount out of this process's own mount namespace, so that
// a helper and what it leaves behind cannot keep the mount alive, nor wait for
// a secret that waits for the helper. What is unmounted elsewhere goes here too.
func leaveMount(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("making / a slave: %w", err)
	}
	if dir == "" {
		return nil
	}
	return leaveOwnMount(dir)
}

// drop gives up all rights but those of who, for good. Root is kept as a mere
// user: without capabilities, and without a way to get them back.
func (c Confinement) drop(who account) error {
	var caps []int
	if c.User == "" {
		caps = c.Caps
	}
	if err := limitBoundingSet(caps); err != nil {
		return err
	}
	if len(caps) > 0 {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("keeping capabilities: %w", err)
		}
	}
	err := become(who)
	// EINVAL: this user namespace does not map the uid.
	if err == unix.EINVAL && c.User == "" {
		err = become(account{uid: nobody, gid: nobody})
	}
	if err == unix.EINVAL && c.User == "" {
		err = nil // a namespace of one user: there is nobody else to be
	}
	if err != nil {
		return fmt.Errorf("becoming uid %d: %w", who.uid, err)
	}
	return setCapabilities(caps)
}

func become(who account) error {
	if err := unix.Setresgid(who.gid, who.gid, who.gid); err != nil {
		return err
	}
	// Where an ordinary user has made the namespace, nobody may set groups
	// (user_namespaces(7)).
	if err := unix.Setgroups(who.groups); err != nil && who.uid != os.Getuid() {
		return err
	}
	return unix.Setresuid(who.uid, who.uid, who.uid)
}
