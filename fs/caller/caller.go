// Package caller finds out who is asking: from the thread id of a FUSE request
// to the process, its executable, its groups and capabilities, and the systemd
// unit or container that it belongs to. It decides nothing, and asks nobody
// but proc(5): no name service, no bus, and none of the files that wait for
// the caller's memory map (maps, cmdline, environ).
//
// Nothing is remembered between look-ups. exec(2) changes the executable,
// setuid(2) the ids and a move the cgroup, all under the same thread id and
// start time.
//
// A thread id that is used again cannot mix two processes up. A request that
// has been read holds its caller in open(2), even a killed one, until it is
// answered. And all reads go through one descriptor of /proc/TID, which stands
// for the task and not for the number: once the task is gone they fail with
// ESRCH, whoever has the number then. So the last read is also the proof that
// those before it were about the same task, and no start time is compared.
package caller

import (
	"errors"
	"fmt"

	"github.com/secretfs/secretfs/policy"
	"golang.org/x/sys/unix"
)

// Why a caller could not be found.
var (
	ErrForeign = errors.New("caller is outside of this pid namespace")
	ErrGone    = errors.New("caller is gone")
)

// Needs says what of a Caller will be asked for, beyond its ids, executable's
// path and unit. What is not needed may be left out.
type Needs uint8

// The parts of a Caller, dearest first.
const (
	// NeedPower is for groups, capabilities and their maps. Without it only
	// policy.Owned.Suffices may decide, and never a rule about groups: a
	// group that is not known can also be the one whose bits refuse.
	NeedPower Needs = 1 << iota
	NeedFile        // File
	NeedInit        // Init
	// NeedReal is NeedPower for FUSE_ACCESS: access(2) checks with the real
	// ids, the groups of the caller, and its permitted capabilities if the
	// real user is root, none if not (access_override_creds of fs/open.c).
	// Together with NeedPower it is for what may be chdir(2), the search of
	// a directory: the effective ids win where the header's are both.
	NeedReal

	NeedAll = NeedPower | NeedFile | NeedInit
)

// Lookup identifies the thread tid that sent a request with the given ids, as
// the FUSE header has them. The header decides: where its ids are not those of
// the thread (access(2), a request through overlayfs), neither groups nor
// capabilities are the thread's to use, and none are reported.
//
// An error means that the request must be refused; the Caller then holds what
// the header says, for the audit. Errors wrap ErrForeign, ErrGone or a
// unix.Errno.
func (p *Proc) Lookup(tid, uid, gid uint32, needs Needs) (policy.Caller, error) {
	c := policy.Caller{TID: tid, UID: uid, GID: gid}
	if tid == 0 {
		return c, ErrForeign
	}
	t, err := p.open(tid)
	if err != nil {
		return c, fmt.Errorf("reading /proc/%d: %w", tid, err)
	}
	found := c
	err = t.identify(&found, needs)
	t.close()
	if err != nil {
		return c, fmt.Errorf("reading /proc/%d/%w", tid, err)
	}
	return found, nil
}

// identify reads the cgroup last, because that fails for a task that is gone;
// a missing exe may also be that of a kernel thread.
func (t *task) identify(c *policy.Caller, needs Needs) error {
	if err := t.process(c, needs); err != nil {
		return err
	}
	t.executable(c, needs)
	return t.membership(c)
}

// process reads status, the dearest file by far, only if it must.
func (t *task) process(c *policy.Caller, needs Needs) error {
	if needs&(NeedPower|NeedReal) == 0 && t.leads(c.TID) {
		c.PID = c.TID
		c.Init = c.PID == 1
		if needs&NeedInit == 0 || t.shares(linkPIDNS, t.proc.pidNS) {
			return nil
		}
	}
	text, err := t.read(fileStatus)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	s, err := parseStatus(text)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	c.PID, c.Init = s.tgid, s.init
	if needs&(NeedPower|NeedReal) == 0 {
		return nil
	}
	effective := c.UID == s.uid.fs && c.GID == s.gid.fs
	access := needs&NeedReal != 0 && c.UID == s.uid.real && c.GID == s.gid.real &&
		(!effective || needs&NeedPower == 0)
	if !effective && !access {
		return nil
	}
	return t.power(c, s, access)
}

// power fills in groups and capabilities, which are the thread's to use.
func (t *task) power(c *policy.Caller, s status, access bool) error {
	var err error
	if c.Groups, err = parseGroups(s.groups); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	caps := s.capEff
	if access {
		caps = s.capPrm
	}
	if caps&capsDAC == 0 {
		return nil
	}
	root, err := t.maps(c)
	if err != nil || access && (root == nil || *root != c.UID) {
		return err
	}
	c.DACOverride = caps&(1<<unix.CAP_DAC_OVERRIDE) != 0
	c.DACReadSearch = caps&(1<<unix.CAP_DAC_READ_SEARCH) != 0
	return nil
}

// executable leaves empty what is not to be had: kernel threads have none, and
// without CAP_SYS_PTRACE those of other users are hidden. Both can only fail
// rules about executables.
func (t *task) executable(c *policy.Caller, needs Needs) {
	if path, err := t.readlink(linkExe); err == nil {
		c.Exe = string(path)
	}
	if needs&NeedFile == 0 {
		return
	}
	if file, err := t.stat(linkExe); err == nil {
		c.File = file
	}
}

func (t *task) membership(c *policy.Caller) error {
	text, err := t.read(fileCgroup)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	path, err := cgroupPath(text)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	m := unitOf(string(path))
	c.Unit, c.UserUnit, c.Container = m.unit, m.userUnit, m.container
	return nil
}
