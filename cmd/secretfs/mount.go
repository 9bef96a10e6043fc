package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/secretfs/secretfs/policy"
)

// readyEnv names the descriptor that the holder closes once it is mounted.
const readyEnv = "SECRETFS_READY_FD"

// runMount becomes the holder, which is the same program without the commands'
// weight; or, with --detach, starts one and waits until it is mounted.
func runMount(o mountOptions) error {
	path, err := filepath.Abs(o.policy)
	if err != nil {
		return exitWith(exitFailed, fmt.Errorf("finding the policy: %w", err))
	}
	if o.detach {
		p, err := loadPolicy(path)
		if err != nil {
			return err
		}
		return detach(p)
	}
	// What is wrong within it the worker says: parsing a large one twice takes
	// as long as all the rest.
	if _, err := readPolicy(path); err != nil {
		return err
	}
	err = syscall.Exec("/proc/self/exe", []string{os.Args[0], "holder", path}, os.Environ())
	return exitWith(exitFailed, fmt.Errorf("starting the holder: %w", err))
}

// detach starts a holder in the background. It keeps none of our descriptors,
// or whoever reads our output to its end would wait for as long as it is
// mounted: its messages go to a log beside the control socket.
func detach(p *policy.Policy) error {
	r, w, err := os.Pipe()
	if err != nil {
		return exitWith(exitFailed, err)
	}
	defer r.Close()
	log, err := openLog(p.Control)
	if err != nil {
		return exitWith(exitFailed, err)
	}
	defer log.Close()
	start, _ := log.Seek(0, io.SeekEnd)
	cmd := exec.Command("/proc/self/exe", "holder", p.File)
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = append(os.Environ(), readyEnv+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return exitWith(exitFailed, fmt.Errorf("starting the holder: %w", err))
	}
	word, _ := io.ReadAll(r)
	_, _ = io.Copy(os.Stderr, io.NewSectionReader(log, start, 1<<20)) // what it has said so far
	if string(word) == "mounted" {
		return nil
	}
	err = cmd.Wait()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitWith(ended.ExitCode(), errors.New("mounting in the background: the holder has said why above"))
	}
	return exitWith(exitFailed, errors.New("mounting in the background: the holder has ended"))
}

// maxLog is when the log of an earlier mount makes room.
const maxLog = 1 << 20

// openLog opens control.log for control.sock.
func openLog(control string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(control), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the control socket: %w", err)
	}
	name := strings.TrimSuffix(control, ".sock") + ".log"
	if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, fmt.Errorf("making room for the log: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return f, nil
}
