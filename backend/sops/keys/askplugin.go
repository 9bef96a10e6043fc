package keys

import (
	"context"
	"errors"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// askPlugin has plugins open an age entry: with named those that the recipient
// names (age1NAME1…), else the others, which may well open entries for native
// recipients, as one does that keeps native keys in a vault. A plugin runs as
// the owner of the key file that names it: what that user wrote there is input
// of the plugin, and must not become root's.
//
// Identities of plugins are mostly handles to a device, but a plugin may put a
// secret into them: they go to the helper because it cannot work without.
func (r *Ring) askPlugin(h *hand, named bool) opener {
	return func(ctx context.Context, k MasterKey) (*secret.Value, error) {
		var causes []error
		for _, c := range r.pluginCalls(h, k, named) {
			v, err := r.ask(ctx, backend.HelperCall{Kind: KindPlugin, User: c.user},
				&Request{Key: k, Identities: c.identities, PluginsPath: r.cfg.PluginsPath})
			switch {
			case err == nil:
				return v, nil
			case ctx.Err() != nil:
				return nil, err
			case !errors.Is(err, errNoMatch):
				causes = append(causes, err)
			}
		}
		switch len(causes) {
		case 0:
			return nil, errNoMatch
		case 1:
			return nil, causes[0]
		}
		return nil, helper.Refuse(worst(causes), "%s", sentence(nil, causes, nil))
	}
}

// A pluginCall is what one helper is asked to try.
type pluginCall struct {
	user       string
	identities []string
}

// pluginCalls are the identities for k by user, in the order of the key files.
func (r *Ring) pluginCalls(h *hand, k MasterKey, named bool) (calls []pluginCall) {
	if k.Type != Age {
		return nil
	}
	place := map[string]int{}
	for _, p := range h.plugins {
		if strings.HasPrefix(k.Fields["recipient"], "age1"+p.name+"1") != named {
			continue
		}
		user := r.cfg.HelperUser
		if user == "" {
			user = asOwner(p.owner)
		}
		i, known := place[user]
		if !known {
			i = len(calls)
			place[user], calls = i, append(calls, pluginCall{user: user})
		}
		calls[i].identities = append(calls[i].identities, p.encoding)
	}
	return calls
}
