package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/secretfs/secretfs/policy/conf"
)

// The keys that say who may read, the same wherever that is said.
var (
	permKeys = []string{"owner", "group", "mode", "uid", "gid", "only"}
	onlyKeys = []string{"units", "executables", "users", "groups"}
)

// perm reads who may read, with base for what is not given. An `only:` is
// taken as a whole or not at all.
func (p *parser) perm(f conf.Fields, base *Perm) *Perm {
	perm := Perm{
		Owner: principal(f, "owner", "uid", base.Owner),
		Group: principal(f, "group", "gid", base.Group),
		Mode:  mode(f, "mode", base.Mode),
		Only:  base.Only,
	}
	if f.Get("only") != nil {
		perm.Only = p.only(f.Map("only", onlyKeys...))
	}
	return p.perms.intern(perm)
}

// principal reads a user or group, given as a name or number under one key or
// as a number under another.
func principal(f conf.Fields, byName, byNumber, fallback string) string {
	n, key := f.Get(byName), byName
	if number := f.Get(byNumber); number != nil {
		if n != nil {
			f.Addf(byNumber, "%s and %s are given; give one", byName, byNumber)
		}
		if number.Kind != conf.Number {
			f.Addf(byNumber, "want a number, have %s", number.Written())
			return fallback
		}
		n, key = number, byNumber
	}
	if n == nil {
		return fallback
	}
	name, msg := principalOf(n)
	if msg != "" {
		f.Addf(key, "%s", msg)
	}
	return name
}

// principalOf is the user or group that n names, or what is wrong with it.
func principalOf(n *conf.Node) (name, msg string) {
	switch n.Kind {
	case conf.Text:
		return checkPrincipal(n.Text)
	case conf.Number:
		id, ok := parseID(n.Text)
		// YAML 1.1 takes 010 for 8, YAML 1.2 for 10.
		if !ok || len(n.Text) > 1 && n.Text[0] == '0' {
			return "", fmt.Sprintf("want a whole number from 0 to %d, have %s", uint32(maxID), n.Text)
		}
		return formatID(id), ""
	}
	return "", fmt.Sprintf("want a name or a number, have %v", n.Kind)
}

// maxID is the highest id; (uid_t)-1 means none to the kernel (chown(2)).
const maxID = 1<<32 - 2

func parseID(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil && id <= maxID
}

func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// checkPrincipal returns the name of a user or group, numbers in their
// shortest form, or what is wrong with it. It excludes only what can be no
// entry of passwd(5) or would be taken for an option: names of directory
// services may hold spaces and backslashes.
func checkPrincipal(name string) (canonical, msg string) {
	if name != "" && strings.Trim(name, "0123456789") == "" {
		id, ok := parseID(name)
		if !ok {
			return name, "want a name or a number up to " + formatID(maxID)
		}
		return formatID(id), ""
	}
	if name == "" || name[0] == '-' || name[0] == '+' || strings.ContainsAny(name, ":/,") || hasControl(name) {
		return name, "want the name or number of a user or group, have " + strconv.Quote(name)
	}
	return name, ""
}

// mode reads permission bits. An unquoted 0400 is octal in YAML 1.1, decimal
// in YAML 1.2 and impossible in JSON, so that only a text is taken.
func mode(f conf.Fields, key string, fallback uint32) uint32 {
	n := f.Get(key)
	if n == nil {
		return fallback
	}
	if n.Kind != conf.Text {
		f.Addf(key, `want an octal number in quotes like "0400", have %s without quotes`, n.Written())
		return fallback
	}
	bits, err := strconv.ParseUint(n.Text, 8, 32)
	switch {
	case err == nil && bits > 0o777:
		f.Addf(key, `%q is more than "0777"; setuid, setgid and sticky bits have no meaning here`, n.Text)
	case err != nil || len(n.Text) < 3 || len(n.Text) > 4:
		f.Addf(key, `want an octal number like "0400", have %q`, n.Text)
	default:
		return uint32(bits)
	}
	return fallback
}

func (p *parser) only(f conf.Fields) Only {
	for _, kind := range onlyKeys {
		if n := f.Get(kind); n != nil && n.Kind == conf.List && len(n.Items()) == 0 {
			f.Addf(kind, "is empty, which would let nobody in; leave it out or list whom to let in")
		}
	}
	return Only{
		Units:       f.Texts("units", checkUnit),
		Executables: f.Texts("executables", p.checkExecutable),
		Users:       p.principals(f, "users"),
		Groups:      p.principals(f, "groups"),
	}
}

func (p *parser) checkExecutable(path string) string {
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || hasControl(path):
		return fmt.Sprintf("want an absolute path without . and .., have %q", path)
	case isBelow(path, p.policy.Mount):
		return fmt.Sprintf("%q lies in the mount", path)
	}
	return ""
}

// principals reads a list of users or groups, by name or number.
func (p *parser) principals(f conf.Fields, key string) []string {
	var names []string
	for _, n := range f.List(key) {
		name, msg := principalOf(&n)
		if msg != "" {
			p.problems.Addf(n.Pos, "%s", msg)
			continue
		}
		names = append(names, strings.Clone(name))
	}
	return names
}

// unitTypes are the types of unit that start processes (systemd.unit(5)).
var unitTypes = []string{".service", ".scope", ".socket", ".mount", ".swap"}

func checkUnit(name string) string {
	hasType := slices.ContainsFunc(unitTypes, func(suffix string) bool {
		return len(name) > len(suffix) && strings.HasSuffix(name, suffix)
	})
	if !hasType || strings.ContainsAny(name, "/ ") || hasControl(name) {
		return fmt.Sprintf(`want the full name of a unit that has processes, like "mem0.service"; have %q`, name)
	}
	return ""
}

// An interner keeps one copy of each Perm: 10,000 secrets mostly share a few.
type interner struct {
	perms map[string]*Perm
	key   []byte
}

func (in *interner) intern(perm Perm) *Perm {
	in.key = strconv.AppendUint(in.key[:0], uint64(perm.Mode), 8)
	in.append(perm.Owner)
	in.append(perm.Group)
	for _, list := range [][]string{perm.Only.Units, perm.Only.Executables, perm.Only.Users, perm.Only.Groups} {
		in.key = append(in.key, 0)
		for _, s := range list {
			in.append(s)
		}
	}
	if known := in.perms[string(in.key)]; known != nil {
		return known
	}
	kept := perm // on the heap, which perm itself need not be
	kept.Owner, kept.Group = strings.Clone(perm.Owner), strings.Clone(perm.Group)
	in.perms[string(in.key)] = &kept
	return &kept
}

// append adds a text that has no control characters in it.
func (in *interner) append(text string) {
	in.key = append(in.key, '\n')
	in.key = append(in.key, text...)
}
