package mount

import (
	"time"

	"golang.org/x/sys/unix"
)

// A running helper leads a session of its own.
type running struct {
	pid      int
	deadline time.Time
	stop     chan struct{}
	ended    chan struct{}
}

// A helperLeft is what a holder tells the one that takes its place by exec
// about a helper that runs.
type helperLeft struct {
	PID      int       `json:"pid"`
	Deadline time.Time `json:"deadline"`
}

// watch sees to the end of a helper, and calls leave then.
func (p *Helpers) watch(pid int, deadline time.Time, leave func()) *running {
	r := &running{pid: pid, deadline: deadline, ended: make(chan struct{}), stop: make(chan struct{}, 1)}
	p.mu.Lock()
	p.running[r] = true
	p.mu.Unlock()
	go func() {
		r.await()
		p.mu.Lock()
		delete(p.running, r)
		p.mu.Unlock()
		leave()
		close(r.ended)
	}()
	return r
}

// left are the helpers that run.
func (p *Helpers) left() (all []helperLeft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.running {
		all = append(all, helperLeft{r.pid, r.deadline})
	}
	return all
}

// adopt goes on with the helpers of the holder before this one.
func (p *Helpers) adopt(all []helperLeft) {
	for _, l := range all {
		p.watch(l.PID, l.Deadline, func() {})
	}
}

// end kills the helper, if it still runs, and waits until it is gone.
func (r *running) end() {
	select {
	case r.stop <- struct{}{}:
	default:
	}
	<-r.ended
}

// await waits for the helper's end, or brings it about at the deadline, and
// ends what it has left behind in its process group. The helper is reaped
// last: until then its pid and group cannot be anybody else's.
func (r *running) await() {
	exited := make(chan error, 1)
	go func() { exited <- waitFor(r.pid, unix.WNOWAIT) }()
	timer := time.NewTimer(time.Until(r.deadline))
	defer timer.Stop()
	select {
	case err := <-exited:
		if err != nil {
			return // an adopted one that was reaped before
		}
		_ = unix.Kill(-r.pid, unix.SIGKILL)
	case <-timer.C:
		_ = unix.Kill(-r.pid, unix.SIGKILL)
		<-exited
	case <-r.stop:
		_ = unix.Kill(-r.pid, unix.SIGKILL)
		<-exited
	}
	_ = waitFor(r.pid, 0) // whoever waits on the socket learns how it went
}

// waitFor waits for the end of a child.
func waitFor(pid, options int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|options, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
