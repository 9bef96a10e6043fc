package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/fs/control"
	"github.com/secretfs/secretfs/policy"
)

// statusWait bounds what a status waits for a first index.
const statusWait = 200 * time.Millisecond

func (w *worker) status() control.Status {
	view := w.gate.View()
	ground, err := w.link.Ground()
	if err != nil {
		ground = w.ground
	}
	s := control.Status{
		Mount: ground.Mount, Policy: w.cfg.Policy, Audit: w.logged.File, AuditHead: control.AuditHead(w.audit.Head()),
		HolderPID: ground.Holder, WorkerPID: workerPID(), Version: w.cfg.Version, Since: ground.Since,
		Restarts: ground.Restarts, Resend: ground.Agreed.Resend(), Passthrough: ground.Agreed.Passthrough(),
		UpgradeError: ground.UpgradeErr,
		Notices:      w.allNotices(ground.Notices), Backends: []control.Backend{}, Secrets: []control.Secret{},
	}
	types := make(map[string]string)
	for _, b := range view.Policy.Backends {
		types[b.Name] = b.Type
	}
	unsound := make(map[string]backend.Status) // backends that have not served, or not the newest
	lacks := w.lacks()
	for _, r := range view.Backends.All() {
		st, asks := r.Status(), lacks[r.Name()]
		if st.State == backend.Ready {
			asks = nil // a code that was good for once is not wanted any more
		}
		if len(asks) > 0 && st.State == backend.Unread {
			st.State, st.Err = backend.Locked, fmt.Errorf("secretfs unlock %s asks for %s", r.Name(), strings.Join(asks, ", "))
		}
		s.Backends = append(s.Backends, control.Backend{
			Name: r.Name(), Type: types[r.Name()], State: string(st.State), Error: text(st.Err), Asks: asks,
		})
		if st.State != backend.Ready {
			unsound[r.Name()] = st
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusWait)
	defer cancel()
	for i := range view.Policy.Secrets {
		s.Secrets = append(s.Secrets, w.secretStatus(ctx, &view.Policy.Secrets[i], unsound))
	}
	return s
}

// lacks are the credentials by backend that are to be asked for and were not
// typed yet.
func (w *worker) lacks() map[string][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lacks := make(map[string][]string)
	for name, o := range w.opened {
		for _, s := range o.asked.Missing(asks(o)) {
			lacks[name] = append(lacks[name], s.Field)
		}
	}
	return lacks
}

func (w *worker) secretStatus(ctx context.Context, p *policy.Secret, unsound map[string]backend.Status) control.Secret {
	s := control.Secret{Path: p.Path, Backend: p.Backend, State: string(backend.Ready), Size: backend.SizeUnknown}
	r, ok := w.gate.View().Backends.Lookup(p.Backend)
	if !ok {
		return s
	}
	info, err := r.Stat(ctx, p.Key)
	if err == nil {
		s.Version, s.Size, err = string(info.Version), info.Size, info.Stale
		switch {
		case err != nil:
			s.State = string(backend.Stale)
		case info.Err != nil:
			s.State, err = string(backend.StateOf(info.Err)), info.Err
		case info.Version == "":
			s.State = string(backend.Unread)
		}
	} else {
		s.State = string(backend.Failed)
	}
	if st, bad := unsound[p.Backend]; bad && s.State == string(backend.Ready) {
		s.State, err = string(st.State), st.Err
	}
	s.Error = text(err)
	return s
}

// allNotices are the sentences about what belongs to no single backend.
func (w *worker) allNotices(holders []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	notices := append([]string{}, holders...)
	notices = append(notices, w.notices...)
	if w.policyErr != nil {
		notices = append(notices, "the policy file has errors, the last good one is in force: "+w.policyErr.Error())
	}
	if err := w.audit.Err(); err != nil {
		notices = append(notices, "reads are refused, because they cannot be recorded: "+err.Error())
	}
	if p := w.gate.View().Policy; p.Mount != w.ground.Mount || p.Control != w.ground.Control || p.Audit != w.logged {
		notices = append(notices, "mount, control or audit have changed in the policy: unmount and mount again to have them followed")
	}
	for _, n := range w.names.Unresolved() {
		notices = append(notices, fmt.Sprintf("%s %s is unknown: what belongs to it is for root only until it is known", n.Database.Kind(), n.Name))
	}
	for _, m := range w.exes.Missing() {
		notices = append(notices, fmt.Sprintf("executable %s is not there: nobody passes a rule that names it", m.Path))
	}
	return notices
}

func (w *worker) list() []control.Entry {
	p := w.gate.View().Policy
	entries := make([]control.Entry, 0, len(p.Secrets)+len(p.Dirs))
	for _, s := range p.Secrets {
		entries = append(entries, entry(control.KindSecret, s.Path, s.Backend, s.Key, s.Perm))
	}
	for _, d := range p.Dirs {
		entries = append(entries, entry(control.KindDirectory, d.Path, d.Backend, d.Key, d.Perm))
	}
	return entries
}

func entry(kind, path, name, key string, perm *policy.Perm) control.Entry {
	return control.Entry{
		Path: path, Kind: kind, Backend: name, Key: backend.KeyText(key),
		Owner: perm.Owner, Group: perm.Group, Mode: fmt.Sprintf("%04o", perm.Mode),
		Only: control.Only{
			Units: perm.Only.Units, Executables: perm.Only.Executables,
			Users: perm.Only.Users, Groups: perm.Only.Groups,
		},
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
