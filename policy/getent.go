package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// getentUnknown is the exit code for a name that is not in the database
// (getent(1), "EXIT STATUS").
const getentUnknown = 2

// Getent is a Lookup that runs getent(1) from PATH, which asks every name
// service that nsswitch.conf(5) lists: LDAP, userdb, dynamic users. It starts a
// process that may reach out to a network and to PID 1, so never in a handler.
func Getent(ctx context.Context, db Database, name string) (uint32, error) {
	if _, msg := checkPrincipal(name); msg != "" {
		return 0, fmt.Errorf("asking getent for a name: %s", msg)
	}
	cmd := exec.CommandContext(ctx, "getent", string(db), name)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second // a child of getent may keep its output open
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == getentUnknown {
		return 0, fmt.Errorf("asking getent %s for %q: %w", db, name, ErrNoSuchName)
	}
	if ctx.Err() != nil {
		err = ctx.Err() // rather than that the process was killed
	}
	if err != nil {
		return 0, fmt.Errorf("asking getent %s for %q: %w", db, name, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	_, id, err := parseEntry([]byte(line))
	if err != nil {
		return 0, fmt.Errorf("asking getent %s for %q: %w", db, name, err)
	}
	return id, nil
}
