package lint

import (
	"strings"
	"testing"
)

// mayImport says which room may import which:
// cmd -> fs -> policy/gate -> {policy, policy/audit, backend}.
func mayImport(from, to string) bool {
	switch {
	case within(from, "tests"):
		return true
	case within(to, "cmd", "tests"):
		return within(from, "cmd") // the program's own parts
	case within(from, "cmd"):
		return true
	case isDriver(to):
		return sameDriver(from, to)
	case within(from, "fs/caller"):
		return to == "policy" || within(to, "fs/caller")
	case within(from, "fs"):
		return true
	case within(to, "fs"):
		return false
	case within(from, "policy/gate"):
		return true
	case within(to, "policy/gate"):
		return false
	case within(from, "policy/audit"):
		return within(to, "policy/audit")
	case within(from, "policy/conf"):
		return within(to, "policy/conf")
	case within(from, "policy"):
		return within(to, "policy/conf") || to == "policy"
	case within(from, "backend"):
		return within(to, "backend", "policy/conf")
	}
	return false
}

// notDrivers are the packages below backend/ that are parts of the seam, or that
// several drivers share.
var notDrivers = []string{
	"backend/secret", "backend/credential", "backend/watch", "backend/httpc", "backend/backendtest", "backend/bitwarden/enc",
	"backend/helper", "backend/program", "backend/beneath", "backend/salt", "backend/disk", "backend/agefile", "backend/offline",
}

func isDriver(room string) bool {
	return within(room, "backend") && room != "backend" && !within(room, notDrivers...)
}

// sameDriver says that both lie in one backend/<driver>.
func sameDriver(from, to string) bool {
	driver, _, _ := strings.Cut(strings.TrimPrefix(to, "backend/"), "/")
	return within(from, "backend/"+driver)
}

func TestImportsPointDown(t *testing.T) {
	seen := 0
	for _, p := range list(t, "./...") {
		for _, imported := range p.Imports {
			if !isOurs(imported) {
				continue
			}
			seen++
			if !mayImport(p.room(), roomOf(imported)) {
				t.Errorf("%s must not import %s", p.room(), roomOf(imported))
			}
		}
	}
	if seen == 0 {
		t.Fatal("no import was looked at")
	}
}

func TestRule(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/secretfs", "backend/sops", true},
		{"cmd/secretfs", "fs/mount", true},
		{"fs", "policy/gate", true},
		{"fs", "fs/mount", true},
		{"fs", "backend", true},
		{"fs", "backend/sops", false},
		{"fs", "cmd/secretfs", false},
		{"fs/caller", "policy", true},
		{"fs/caller", "policy/gate", false},
		{"fs/caller", "fs", false},
		{"policy/gate", "policy/audit", true},
		{"policy/gate", "backend", true},
		{"policy/gate", "backend/secret", true},
		{"policy/gate", "backend/sops", false},
		{"policy/gate", "fs/caller", false},
		{"policy", "policy/conf", true},
		{"policy", "policy/gate", false},
		{"policy", "policy/audit", false},
		{"policy", "backend", false},
		{"policy/audit", "policy", false},
		{"policy/conf", "policy", false},
		{"backend", "policy/conf", true},
		{"backend", "policy", false},
		{"backend/sops", "backend", true},
		{"backend/sops", "backend/sops/keys", true},
		{"backend/sops", "backend/age", false},
		{"backend/sops/keys", "backend/sops", true},
		{"backend", "fs", false},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("%s -> %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// os/user asks the name service, which may be blocked on this very mount.
func TestNobodyAsksTheNameService(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, imported := range p.Imports {
			if imported == "os/user" {
				t.Errorf("%s must not import os/user", p.room())
			}
		}
	}
}
