package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// needs adds the files that backends read and that cannot be read, and returns
// the backends that lack one.
func (r *Report) needs(cfg *Config) map[string]bool {
	missing := map[string]bool{}
	for _, b := range cfg.Policy.Backends {
		if files := cfg.Needs[b.Type]; files != nil {
			missing[b.Name] = r.needsFiles(&b, b.Name, files(b.Config))
		}
	}
	return missing
}

// needsFiles adds the files that cannot be read, and says whether there are any.
func (r *Report) needsFiles(b *policy.Backend, who string, files []string) (missing bool) {
	for _, file := range files {
		if err := readable(file); err != nil {
			missing = true
			r.add(written(b), "backend %s: %v", who, err)
		}
	}
	return missing
}

// written is where the policy has a backend.
func written(b *policy.Backend) conf.Pos {
	if b.Settings == nil {
		return conf.Pos{}
	}
	return b.Settings.Pos
}

// doubts adds what there is to be said against backends.
func (r *Report) doubts(cfg *Config) {
	for _, b := range cfg.Policy.Backends {
		if tell := cfg.Doubts[b.Type]; tell != nil {
			for _, doubt := range tell(b.Config) {
				r.Warnings = append(r.Warnings, fmt.Sprintf("backend %s: %s", b.Name, doubt))
			}
		}
	}
}

// readable opens a file or directory, without waiting where it is a FIFO.
func readable(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return fmt.Errorf("reading %s: it is neither a file nor a directory", name)
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(name); err == nil {
			return f.Close()
		}
	}
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		err = in.Err // without the name of the system call
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

// namesTimeout is for the name service, which may ask a network.
const namesTimeout = 10 * time.Second

// names adds users and groups that do not resolve, each once, with the first
// secret that needs it.
func (r *Report) names(ctx context.Context, cfg *Config) {
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	names := policy.NewNames(policy.NamesConfig{Lookup: cfg.Lookup})
	names.Use(cfg.Policy)
	done := make(chan struct{})
	go func() { defer close(done); names.Run(ctx) }()
	names.Settle(ctx)
	for _, u := range names.Unresolved() {
		uses := func(perm *policy.Perm) bool {
			return perm.Owner == u.Name || slices.Contains(perm.Only.Users, u.Name)
		}
		if u.Database == policy.Groups {
			uses = func(perm *policy.Perm) bool {
				return perm.Group == u.Name || slices.Contains(perm.Only.Groups, u.Name)
			}
		}
		r.addUses(cfg.Policy, uses, "%s %s is not known here", u.Database.Kind(), u.Name)
	}
	cancel()
	<-done
}

func (r *Report) executables(p *policy.Policy) {
	exes := policy.NewExecutables(0)
	exes.Use(p)
	for _, m := range exes.Missing() {
		r.addUses(p, func(perm *policy.Perm) bool { return slices.Contains(perm.Only.Executables, m.Path) },
			"executable %s: %v", m.Path, m.Err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	exes.Run(ended) // closes what it holds
}

// addUses adds a problem that comes from one or more entries of the policy.
func (r *Report) addUses(p *policy.Policy, uses func(*policy.Perm) bool, format string, args ...any) {
	var pos conf.Pos
	var first string
	n := 0
	note := func(path string, at conf.Pos, perm *policy.Perm) {
		if !uses(perm) {
			return
		}
		if n++; n == 1 {
			pos, first = at, path
		}
	}
	for _, s := range p.Secrets {
		note(s.Path, s.Pos, s.Perm)
	}
	for _, d := range p.Dirs {
		note(d.Path+"/", d.Pos, d.Perm)
	}
	switch n {
	case 0:
		first = "defaults"
	case 1:
	default:
		first = fmt.Sprintf("%s and %d more", first, n-1)
	}
	r.add(pos, "%s: %s", first, fmt.Sprintf(format, args...))
}
