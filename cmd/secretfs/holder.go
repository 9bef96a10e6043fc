package main

import (
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/secretfs/secretfs/fs/mount"
)

// runHolder holds the mount of one policy: `secretfs holder POLICY`.
func runHolder(args []string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if len(args) != 1 {
		log.Error("a holder is started by secretfs mount")
		return exitUsage
	}
	debug.SetGCPercent(50)
	err := mount.Run(mount.Config{
		WorkerArgs: []string{"worker", args[0]},
		Helpers:    helperConfig,
		Ready:      ready(),
		Log:        log,
	})
	if refused, ok := errors.AsType[*mount.ExitError](err); ok {
		return refused.Code // the worker has said why
	}
	if err != nil {
		log.Error("holding the mount", "error", err)
		return exitFailed
	}
	return exitOK
}

// ready tells whoever started us in the background.
func ready() func() {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	os.Unsetenv(readyEnv)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "ready")
	return func() {
		_, _ = f.WriteString("mounted") // whoever waited may be gone
		f.Close()
	}
}
