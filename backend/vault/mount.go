package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// mountAge is for how long what is known of a mount is believed although a secret
// is not found there.
const mountAge = time.Minute

// A mount is one secrets engine. It does not change once made.
type mount struct {
	Path    string // with a slash at its end
	Type    string
	Options struct {
		Version string // of type kv, "1" or "2"
	}
	Asked time.Time
}

func (m *mount) kv() bool        { return m.Type == "kv" || m.Type == "generic" || m.Type == "cubbyhole" }
func (m *mount) versioned() bool { return m.Type == "kv" && m.Options.Version == "2" }

// data is the path of the API for a secret. `data/` that the policy has already, as
// the API's own documentation does, is not put before it again.
func (m *mount) data(path string) string {
	rest := strings.TrimPrefix(path, m.Path)
	if !m.versioned() {
		return path
	}
	return m.Path + "data/" + strings.TrimPrefix(rest, "data/")
}

// mountOf is the engine that serves path. It is asked for once.
func (b *Backend) mountOf(ctx context.Context, path string) (*mount, error) {
	b.mu.Lock()
	m := b.knownMount(path)
	b.mu.Unlock()
	if m != nil {
		return m, nil
	}
	return b.askMount(ctx, path)
}

// knownMount is the longest that path lies in. The caller holds mu.
func (b *Backend) knownMount(path string) (found *mount) {
	for _, m := range b.mounts {
		if strings.HasPrefix(path+"/", m.Path) && (found == nil || len(m.Path) > len(found.Path)) {
			found = m
		}
	}
	return found
}

// askMount asks the server, which answers whoever may do anything at path or below
// the mount.
func (b *Backend) askMount(ctx context.Context, path string) (*mount, error) {
	a, s, err := b.call(ctx, request{method: http.MethodGet, path: "sys/internal/ui/mounts/" + path})
	if statusOf(err) == http.StatusForbidden { // it does not say which of the two
		return nil, backend.Alone(fmt.Errorf("no engine is mounted there, or no policy of the token (%s) allows anything at this path: %w", b.policiesOf(s), backend.ErrRejected))
	}
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	m := &mount{Asked: time.Now()}
	if json.Unmarshal(a.Data, m) != nil || m.Path == "" || !strings.HasPrefix(path+"/", m.Path) {
		return nil, fmt.Errorf("asking which engine serves %s: the answer is not understood: %w", path, backend.ErrUnavailable)
	}
	b.mu.Lock()
	b.mounts[m.Path] = m
	b.mu.Unlock()
	b.save()
	return m, nil
}

// askAgain says whether a mount that was known for a while has become another one.
func (b *Backend) askAgain(ctx context.Context, m *mount, path string) (*mount, bool) {
	if time.Since(m.Asked) < mountAge {
		return nil, false
	}
	now, err := b.askMount(ctx, path)
	return now, err == nil && (now.Path != m.Path || now.Type != m.Type || now.Options != m.Options)
}
