package mount

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linkFD is the descriptor number of a worker's link to the holder.
const linkFD = 3

// killGrace is how long a killed worker may take to leave user space. Its
// process may stay for longer: a thread in D state inside our own mount goes
// only when the next worker answers it, so nobody waits for that.
const killGrace = 200 * time.Millisecond

// A child is one worker process.
type child struct {
	pid     int
	link    *peer                // nil: a dead holder's worker, which cannot be talked to
	hungUp  <-chan struct{}      // the link is closed
	exited  chan unix.WaitStatus // reaped
	served  time.Time            // when it said that it serves; zero before
	serving chan struct{}
	why     string // what it has said about its end; the holder's mu guards it
}

// spawn starts a worker with one end of a fresh link. A system worker gets a
// mount namespace of its own to lock itself up in.
func (h *Holder) spawn() (*child, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "link"), os.NewFile(uintptr(pair[1]), "link")
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", h.cfg.WorkerArgs...)
	cmd.Args[0] = "secretfs"
	cmd.Env = workerEnv()
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if h.system() {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	return h.attach(cmd.Process.Pid, ours)
}

// attach takes charge of a worker process that runs at the other end of link.
func (h *Holder) attach(pid int, link *os.File) (*child, error) {
	c := &child{pid: pid, exited: make(chan unix.WaitStatus, 1), serving: make(chan struct{})}
	var err error
	c.link, c.hungUp, err = newPeer(link, func(m *message) (answer, error) { return h.handle(c, m) })
	if err != nil {
		return nil, err
	}
	go c.await()
	return c, nil
}

// orphan is a dead holder's worker that can only be waited for and killed.
func orphan(pid int) *child {
	c := &child{pid: pid, exited: make(chan unix.WaitStatus, 1), serving: make(chan struct{})}
	go c.await()
	return c
}

// await waits for the end of a process, which may be another holder's child.
func (c *child) await() {
	defer close(c.exited)
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(c.pid, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECHILD {
			awaitOther(c.pid)
		}
		c.exited <- status
		return
	}
}

func awaitOther(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if n, err := unix.Poll(fds, -1); n > 0 || err != unix.EINTR {
			return
		}
	}
}

func (c *child) hangUp() {
	if c.link != nil {
		c.link.close()
	}
}

// kill ends the worker and waits until none of its threads can run user code.
func (c *child) kill() {
	_ = unix.Kill(c.pid, unix.SIGKILL)
	deadline := time.After(killGrace)
	for {
		select {
		case <-c.exited:
			return
		case <-deadline:
			return
		case <-time.After(time.Millisecond):
			if c.zombie() {
				return
			}
		}
	}
}

// startTime tells two processes with the same pid apart; empty if there is none.
func startTime(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := bytes.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return string(fields[19])
}

// zombie says that the main thread has ended although the process cannot be
// reaped yet.
func (c *child) zombie() bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(c.pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && (rest[0] == 'Z' || rest[0] == 'X')
}

// workerEnv is the little of the environment that a worker needs. Credentials
// of cloud services in it are for helpers only; those of the unit are files.
func workerEnv() []string {
	env := []string{"SECRETFS_ROLE=worker", "GODEBUG=" + os.Getenv("GODEBUG")}
	for _, name := range []string{"PATH", "HOME", "LANG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "CREDENTIALS_DIRECTORY", "GOMAXPROCS", "GOTRACEBACK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
