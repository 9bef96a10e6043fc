package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy"
)

// handleExplain says whether a path could be read, by whom it is asked for,
// and why. It reads nothing and records nothing.
func (w *worker) handleExplain(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.ExplainRequest
	if err := decode(args, &r); err != nil {
		return nil, err
	}
	c, who, err := w.person(ctx, &r)
	if err != nil {
		return nil, err
	}
	view := w.gate.View()
	path := w.relative(r.Path)
	e := control.Explanation{Path: path, Steps: []string{who}}
	n, ok := view.Tree.Lookup(path)
	if why := noSecret(n, ok); why != "" {
		e.Errno, e.Rule = "ENOENT", why
		return e, nil
	}
	owned := view.Owned(n, false)
	e.Steps = append(e.Steps,
		fmt.Sprintf("%s: mode %04o, owner %s (uid %d), group %s (gid %d)", path, owned.Mode, n.Perm.Owner, owned.UID, n.Perm.Group, owned.GID))
	d := view.File(&c, path, n, policy.WantRead)
	e.Allowed, e.Rule = d.Allowed, d.Rule
	if !d.Allowed {
		e.Errno = "EACCES"
		e.Steps = append(e.Steps, "refused: "+d.Rule)
		return e, nil
	}
	e.Steps = append(e.Steps, "allowed: "+d.Rule)
	if b, ok := view.Backends.Lookup(n.Backend); ok {
		if _, err := b.Stat(ctx, n.Key); err != nil {
			e.Errno = unix.ErrnoName(fs.Errno(err))
			e.Steps = append(e.Steps, err.Error())
		}
	}
	return e, nil
}

// noSecret says why what a tree says of a path cannot be a secret, "" if it can.
func noSecret(n policy.Node, ok bool) string {
	switch {
	case !ok:
		return "the policy has no such secret"
	case n.Kind == policy.Dir:
		return "it is a directory; name a secret in it"
	}
	return ""
}

// person is who an explanation is about.
func (w *worker) person(ctx context.Context, r *control.ExplainRequest) (policy.Caller, string, error) {
	if r.PID != 0 {
		c, err := w.process(r.PID)
		if err != nil {
			return c, "", fmt.Errorf("looking at process %d: %w", r.PID, err)
		}
		return c, fmt.Sprintf("pid %d: uid %d, gid %d, executable %s, unit %q", c.PID, c.UID, c.GID, c.Exe, c.Unit), nil
	}
	c := policy.Caller{Unit: r.Unit, UserUnit: r.Unit, Exe: r.Executable}
	if r.User != "" {
		if err := lookUpUser(ctx, r.User, &c); err != nil {
			return c, "", err
		}
	}
	if c.UID == 0 {
		c.DACOverride, c.DACReadSearch = true, true
		c.UIDMap, c.GIDMap = []policy.IDRange{{Count: ^uint32(0)}}, []policy.IDRange{{Count: ^uint32(0)}}
	}
	if r.Executable != "" {
		var s unix.Stat_t
		if err := unix.Stat(r.Executable, &s); err != nil {
			return c, "", fmt.Errorf("looking at %s: %w", r.Executable, err)
		}
		c.File = policy.FileID{Dev: s.Dev, Ino: s.Ino}
	}
	return c, fmt.Sprintf("uid %d, gid %d, groups %v, executable %q, unit %q", c.UID, c.GID, c.Groups, c.Exe, c.Unit), nil
}

func (w *worker) process(pid uint32) (policy.Caller, error) {
	var s unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(int(pid)), &s); err != nil {
		return policy.Caller{}, err
	}
	return w.proc.Lookup(pid, s.Uid, s.Gid, caller.NeedAll)
}

// lookUpUser asks the name service, which is fine outside of FUSE handlers.
func lookUpUser(ctx context.Context, name string, c *policy.Caller) error {
	out, err := exec.CommandContext(ctx, "getent", "passwd", "--", name).Output()
	fields := strings.Split(strings.TrimSpace(string(out)), ":")
	if err != nil || len(fields) < 4 {
		return unnamedUser(name, c)
	}
	uid, err1 := strconv.ParseUint(fields[2], 10, 32)
	gid, err2 := strconv.ParseUint(fields[3], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("looking up user %s: %w", name, err)
	}
	c.UID, c.GID = uint32(uid), uint32(gid)
	out, err = exec.CommandContext(ctx, "getent", "initgroups", "--", fields[0]).Output()
	if err != nil {
		return nil // a name service without groups
	}
	for i, g := range strings.Fields(string(out)) {
		if id, err := strconv.ParseUint(g, 10, 32); err == nil && i > 0 { // the first is the name
			c.Groups = append(c.Groups, uint32(id))
		}
	}
	return nil
}

// unnamedUser takes a number that no name belongs to: such a process has no
// groups that anybody knows of.
func unnamedUser(number string, c *policy.Caller) error {
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return fmt.Errorf("looking up user %s: no such user", number)
	}
	const nobody = 65534
	c.UID, c.GID = uint32(uid), nobody
	return nil
}
