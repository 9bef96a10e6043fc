package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// DefaultPath is where the socket is when the policy does not say: below /run
// for root, in the user's runtime directory for anybody else. It is an error
// for a user to have none.
func DefaultPath() (string, error) {
	if os.Geteuid() == 0 {
		return "/run/secretfs/control.sock", nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Getuid())
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			return "", fmt.Errorf("finding the control socket: XDG_RUNTIME_DIR is not set and there is no %s", dir)
		}
	}
	return filepath.Join(dir, "secretfs", "control.sock"), nil
}
