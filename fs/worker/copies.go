package worker

import (
	"encoding/hex"
	"os"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/disk"
	"github.com/secretfs/secretfs/backend/offline"
	"github.com/secretfs/secretfs/policy"
)

// copiesPart is the folder of offline copies, beside that of what the driver
// keeps.
const copiesPart = "offline"

// copies are the offline copies of a backend, none where the policy wants none.
func (w *worker) copies(spec policy.Backend, p *policy.Policy) backend.Offline {
	settings, ok := spec.Offline.(offline.Settings)
	if !ok {
		return backend.Offline{}
	}
	return backend.Offline{
		Copies: offline.New(offline.Config{
			Settings: settings, Backend: spec.Name, Source: hex.EncodeToString(source(spec)),
			Store: disk.New(p.State, spec.Name, copiesPart),
			Keys:  func(files []string) offline.Keys { return w.cfg.Identities(files, w.helper(spec.Name)) },
		}),
		MaxAge: spec.OfflineMaxAge, Boot: bootID(),
	}
}

// bootID names this run of the kernel (random(4)), or is empty where nothing
// tells.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// retain has copies removed of what p does not name any more.
func retain(p *policy.Policy, all map[string]*opened) {
	keys := make(map[string][]string, len(all))
	for _, s := range p.Secrets {
		keys[s.Backend] = append(keys[s.Backend], s.Key)
	}
	for _, d := range p.Dirs {
		keys[d.Backend] = append(keys[d.Backend], d.Key)
	}
	for name, o := range all {
		o.resolver.Retain(keys[name])
	}
}

// clear removes what a backend that is not in use any more has on the disk, as far
// as the one that has taken its place, if any, does not keep the same.
func (w *worker) clear(old, now *opened) {
	parts := map[string]bool{copiesPart: old.spec.Offline != nil, "": w.cfg.Env.Drivers[old.spec.Type].Disk}
	if now != nil && now.state == old.state {
		parts[copiesPart] = parts[copiesPart] && now.spec.Offline == nil
		parts[""] = parts[""] && !w.cfg.Env.Drivers[now.spec.Type].Disk
	}
	for part, had := range parts {
		if !had {
			continue
		}
		if err := disk.New(old.state, old.spec.Name, part).Clear(); err != nil {
			w.log.Warn("removing what a backend has kept", "backend", old.spec.Name, "error", err)
		}
	}
}
