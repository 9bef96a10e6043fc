package mount

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/secretfs/secretfs/backend"
)

// basicEnv are the variables of the holder's environment that every helper
// gets. Credentials are not among them.
var basicEnv = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
	"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
}

// helperEnv is the environment of a helper: the basic one, what its kind
// inherits, and what the request sets.
func helperEnv(k HelperKind, call backend.HelperCall) ([]string, error) {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(basicEnv, name) || k.Inherits != nil && k.Inherits(name) {
			env = append(env, entry)
		}
	}
	for _, entry := range call.Env {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || k.Sets == nil || !k.Sets(name) || strings.ContainsRune(entry, 0) {
			return nil, fmt.Errorf("starting helper %s: no request may set the variable %q", call.Kind, name)
		}
		// The last one counts (environ of os/exec), and no other may stay.
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, entry)
	}
	return env, nil
}
