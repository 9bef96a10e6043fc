package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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
	if _, err := loadPolicy(path); err != nil {
		return err
	}
	if o.detach {
		return detach(path)
	}
	err = syscall.Exec("/proc/self/exe", []string{os.Args[0], "holder", path}, os.Environ())
	return exitWith(exitFailed, fmt.Errorf("starting the holder: %w", err))
}

func detach(policy string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return exitWith(exitFailed, err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", "holder", policy)
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = append(os.Environ(), readyEnv+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return exitWith(exitFailed, fmt.Errorf("starting the holder: %w", err))
	}
	if word, _ := io.ReadAll(r); string(word) == "mounted" {
		return nil
	}
	err = cmd.Wait()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitWith(ended.ExitCode(), errors.New("mounting in the background: the holder has said why above"))
	}
	return exitWith(exitFailed, errors.New("mounting in the background: the holder has ended"))
}
