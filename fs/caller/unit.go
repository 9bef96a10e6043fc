package caller

import (
	"strconv"
	"strings"
)

// A membership says what a cgroup belongs to, by the fields of policy.Caller.
type membership struct{ unit, userUnit, container string }

// unitOf reads a cgroup's path as systemd lays them out: slices, then one unit,
// then what that unit was given to divide as it likes (systemd.unit(5),
// "Control Group APIs and Delegation"). Only the part down to the first unit is
// the service manager's own. Below user@UID.service that user decides what
// there is, so it is never a system unit. A path that leaves the reader's
// cgroup namespace, or does not begin with the service manager's slices and
// units, is in no unit.
func unitOf(path string) membership {
	unit, below := cutUnit(path)
	switch {
	case unit == "":
		return membership{container: foreignContainer(path)}
	case strings.HasPrefix(unit, "user@") && strings.HasSuffix(unit, ".service"):
		userUnit, _ := cutUnit(below)
		return membership{userUnit: userUnit}
	default:
		return membership{unit: unit, container: containerOf(unit, below)}
	}
}

// cutUnit skips slices and takes the unit after them.
func cutUnit(path string) (unit, below string) {
	for path != "" {
		name := path[1:]
		path = ""
		if end := strings.IndexByte(name, '/'); end >= 0 {
			name, path = name[:end], name[end:]
		}
		// systemd puts a "_" before names that would clash with the
		// kernel's files, such as that of memory.service.
		name = strings.TrimPrefix(name, "_")
		stem, kind := cutLast(name, '.')
		switch {
		case stem == "":
			return "", ""
		case kind == "slice":
		case kind == "service", kind == "scope", kind == "socket", kind == "mount", kind == "swap":
			return name, path
		default:
			return "", ""
		}
	}
	return "", ""
}

// containerOf tells the payload's container from the names that machined,
// nspawn and the OCI runtimes give their units.
func containerOf(unit, below string) string {
	stem, kind := cutLast(unit, '.')
	if kind == "service" {
		if machine, ok := strings.CutPrefix(stem, "systemd-nspawn@"); ok && strings.HasPrefix(below+"/", "/payload/") {
			return unescape(machine)
		}
		return ""
	}
	if machine, ok := strings.CutPrefix(stem, "machine-"); ok && kind == "scope" {
		return unescape(machine)
	}
	runtime, id := cutLast(stem, '-')
	if kind != "scope" || !isContainerID(id) || strings.HasSuffix(runtime, "conmon") {
		return "" // conmon is the one that watches, outside
	}
	return id
}

// foreignContainer finds a container in a tree that is not systemd's own:
// /docker/ID, /kubepods/.../ID, /lxc.payload.NAME.
func foreignContainer(path string) string {
	for name := range strings.SplitSeq(path, "/") {
		if isContainerID(name) {
			return name
		}
		if machine, ok := strings.CutPrefix(name, "lxc.payload."); ok {
			return machine
		}
	}
	return ""
}

// isContainerID accepts the ids of OCI runtimes: 64 hexadecimal digits.
func isContainerID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// unescape undoes systemd-escape(1) for a name that held no slash.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for {
		plain, rest, ok := strings.Cut(s, `\x`)
		b.WriteString(plain)
		if !ok {
			return b.String()
		}
		code, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8)
		if err != nil || len(rest) < 2 {
			b.WriteString(`\x`)
			s = rest
			continue
		}
		b.WriteByte(byte(code))
		s = rest[2:]
	}
}

// cutLast cuts s at the last separator; without one all of it is before.
func cutLast(s string, separator byte) (before, after string) {
	at := strings.LastIndexByte(s, separator)
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at+1:]
}
