package policy

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/secretfs/secretfs/policy/conf"
)

// What a policy means where neither it nor the Env says.
const (
	defaultMount    = "/run/secrets"
	defaultControl  = "/run/secretfs/control.sock"
	defaultAudit    = "/var/log/secretfs/audit.jsonl"
	defaultState    = "/var/lib/secretfs"
	defaultLinger   = 30 * time.Second
	defaultInterval = time.Second
	defaultTimeout  = 5 * time.Second
	defaultMaxStale = 24 * time.Hour
	defaultOffline  = 30 * 24 * time.Hour
	defaultInFlight = 16
	defaultMode     = 0o400
	defaultDirMode  = 0o755
	rootName        = "root"
)

// The keys of the top level and of its sections.
var (
	topKeys   = []string{"mount", "control", "state", "defaults", "audit", "linger", "backends", "secrets", "directories", "templates"}
	auditKeys = []string{"file", "sync", "interval", "journal"}
)

// Parse reads a policy that was found at path, which must be absolute. It
// touches nothing but data. The error is a *conf.Problems with everything that
// is wrong; names that do not resolve are none, they depend on the machine.
func Parse(path string, data []byte, env Env) (*Policy, error) {
	doc, problems := conf.Parse(path, data)
	if doc == nil {
		return nil, problems
	}
	p := newParser(path, problems, env)
	p.top(conf.Open(doc, p.problems, topKeys...))
	p.conflicts()
	p.cycles()
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.policy, nil
}

// ControlOf is the control socket that a policy with errors names, "" where it
// names none: the mount of such a policy may have been made before the errors.
func ControlOf(path string, data []byte) string {
	doc, problems := conf.Parse(path, data)
	if doc == nil {
		return ""
	}
	return conf.Open(doc, problems).Path("control", filepath.Dir(path), "")
}

// A parser turns one document into a Policy.
type parser struct {
	env      Env
	dir      string // relative paths are relative to it
	problems *conf.Problems
	policy   *Policy
	// backends maps a backend's name to the one copy of it that the policy
	// keeps.
	backends map[string]string
	places   map[string]conf.Pos // of backends, by name
	perms    interner
}

func newParser(path string, problems *conf.Problems, env Env) *parser {
	return &parser{
		env:      env,
		dir:      filepath.Dir(path),
		problems: problems,
		policy:   &Policy{File: path},
		backends: map[string]string{},
		places:   map[string]conf.Pos{},
		perms:    interner{perms: map[string]*Perm{}},
	}
}

func (p *parser) top(f conf.Fields) {
	p.policy.Mount = strings.Clone(p.mount(f))
	p.policy.Control = strings.Clone(f.Path("control", p.dir, cmp.Or(p.env.Control, defaultControl)))
	p.policy.Linger = f.Duration("linger", defaultLinger)
	audit := f.Map("audit", auditKeys...)
	p.audit(audit)
	p.policy.State = strings.Clone(f.Path("state", p.dir, cmp.Or(p.env.State, defaultState)))
	p.policy.KeepsState = f.Get("state") != nil
	p.outside(f, "control", p.policy.Control)
	p.outside(f, "state", p.policy.State)
	p.outside(audit, "file", p.policy.Audit.File)
	base := &Perm{Owner: cmp.Or(p.env.Owner, rootName), Group: cmp.Or(p.env.Group, rootName), Mode: defaultMode}
	p.policy.Default = p.perm(f.Map("defaults", permKeys...), base)
	if f.Get("templates") != nil {
		f.Addf("templates", "templates come in a later version")
	}
	p.readBackends(f)
	p.readSecrets(f)
	p.readDirectories(f)
}

func (p *parser) mount(f conf.Fields) string {
	mount := f.Text("mount", cmp.Or(p.env.Mount, defaultMount))
	switch {
	case !filepath.IsAbs(mount):
		f.Addf("mount", "want an absolute path, have %q", mount)
	case filepath.Clean(mount) == "/":
		f.Addf("mount", "the mount cannot cover the root directory")
	}
	return filepath.Clean(mount)
}

func (p *parser) audit(f conf.Fields) {
	a := &p.policy.Audit
	a.File = strings.Clone(f.Path("file", p.dir, cmp.Or(p.env.AuditFile, defaultAudit)))
	a.Sync = f.OneOf("sync", SyncInterval, SyncNone, SyncInterval, SyncAlways)
	a.Interval = f.Duration("interval", defaultInterval)
	a.Journal = f.Bool("journal", true)
	switch {
	case f.Get("interval") == nil:
	case a.Sync != SyncInterval:
		f.Addf("interval", "has a meaning with sync: interval only")
	case a.Interval == 0:
		f.Addf("interval", "must be more than 0; use sync: always")
	}
	a.Sync = strings.Clone(a.Sync)
}

// outside refuses a path in the mount, which holds nothing but secrets.
func (p *parser) outside(f conf.Fields, key, path string) {
	if path == p.policy.Mount || isBelow(path, p.policy.Mount) {
		f.Addf(key, "%q lies in the mount", path)
	}
}

// conflicts sorts what was read and finds paths that exclude each other.
func (p *parser) conflicts() {
	secrets, dirs := p.policy.Secrets, p.policy.Dirs
	slices.SortFunc(secrets, func(a, b Secret) int { return comparePaths(a.Path, b.Path) })
	slices.SortFunc(dirs, func(a, b Directory) int { return comparePaths(a.Path, b.Path) })
	for file, i := 0, 1; i < len(secrets); i++ {
		s, first := &secrets[i], &secrets[file]
		switch {
		case s.Path == first.Path:
			p.problems.Addf(s.Pos, "%q is the same path as the one at %v", s.Path, first.Pos)
		case isBelow(s.Path, first.Path):
			p.problems.Addf(s.Pos, "%q cannot be a directory: it is the secret at %v", first.Path, first.Pos)
		default:
			file = i
		}
	}
	for i := range dirs {
		p.dirConflicts(i)
	}
}

func (p *parser) dirConflicts(i int) {
	d := p.policy.Dirs[i]
	if i > 0 && p.policy.Dirs[i-1].Path == d.Path {
		p.problems.Addf(d.Pos, "%q is the same path as the one at %v", d.Path, p.policy.Dirs[i-1].Pos)
	}
	for at := d.Path; at != ""; at = parent(at) {
		if s, found := findSecret(p.policy.Secrets, at); found {
			p.problems.Addf(d.Pos, "%q cannot be a directory: it is the secret at %v", at, s.Pos)
		}
	}
}

func findSecret(secrets []Secret, path string) (*Secret, bool) {
	i, found := slices.BinarySearchFunc(secrets, path, func(s Secret, path string) int {
		return comparePaths(s.Path, path)
	})
	if !found {
		return nil, false
	}
	return &secrets[i], true
}
