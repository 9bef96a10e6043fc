package program

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// setEnv makes this process's environment that of c, so that its PATH is what
// programs are looked for in.
func setEnv(c *Command) error {
	addSession()
	for _, entry := range c.Env {
		name, value, _ := strings.Cut(entry, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// addSession sets what leads to the agents of the user that the program runs as
// (gpg-agent, rbw-agent, a secret service), where that user is logged in or lingers:
// a login sets it (pam_systemd(8)), and a helper has had none.
func addSession() {
	dir := fmt.Sprintf("/run/user/%d", os.Getuid())
	if os.Getenv("XDG_RUNTIME_DIR") != "" || !ours(dir) {
		return
	}
	os.Setenv("XDG_RUNTIME_DIR", dir)
	if bus := dir + "/bus"; os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" && ours(bus) {
		os.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+bus)
	}
}

// ours says whether path belongs to this process's user.
func ours(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == os.Getuid()
}
