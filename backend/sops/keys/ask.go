package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// helperTime is how long one helper may take where ctx gives more.
const helperTime = 30 * time.Second

// askGPG has gpg open a pgp entry, if there is a GnuPG home.
func (r *Ring) askGPG(ctx context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type != PGP || r.cfg.GnupgHome == "" {
		return nil, errNoMatch
	}
	return r.ask(ctx, KindGPG, &Request{Key: k, GnupgHome: r.cfg.GnupgHome, GnupgProgram: r.cfg.GnupgProgram})
}

// askPlugin has plugins open an age entry: with named those that the recipient
// names (age1NAME1…), else the others, which may well open entries for native
// recipients, as one does that keeps native keys in a vault.
//
// Identities of plugins are mostly handles to a device, but a plugin may put a
// secret into them: they go to the helper because it cannot work without.
func (r *Ring) askPlugin(h *hand, named bool) opener {
	return func(ctx context.Context, k MasterKey) (*secret.Value, error) {
		var ids []string
		for _, p := range h.plugins {
			if strings.HasPrefix(k.Fields["recipient"], "age1"+p.name+"1") == named {
				ids = append(ids, p.encoding)
			}
		}
		if k.Type != Age || len(ids) == 0 {
			return nil, errNoMatch
		}
		return r.ask(ctx, KindPlugin, &Request{Key: k, Identities: ids, PluginsPath: r.cfg.PluginsPath})
	}
}

// askCloud has secretfs-keys open everything else.
func (r *Ring) askCloud(ctx context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type == Age || k.Type == PGP {
		return nil, errNoMatch
	}
	return r.ask(ctx, KindKeys, &Request{Key: k})
}

// ask puts one request to a new helper.
func (r *Ring) ask(ctx context.Context, kind string, q *Request) (*secret.Value, error) {
	if r.run == nil {
		return nil, Refuse(backend.ErrLocked, "%s needs the helper %q, and none is configured", q.Key, kind)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	q.Milliseconds = time.Until(deadline).Milliseconds()

	v, err := exchange(ctx, r.run, kind, q)
	told := (*failure)(nil)
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &told):
		return nil, err
	case ctx.Err() != nil:
		return nil, Refuse(backend.ErrTimeout, "%s: the helper %q gave no answer before the deadline", q.Key, kind)
	case errors.Is(err, fs.ErrNotExist):
		return nil, Refuse(backend.ErrLocked, "%s needs the helper %q: %v", q.Key, kind, err)
	default:
		return nil, Refuse(backend.ErrUnavailable, "%s: asking the helper %q: %v", q.Key, kind, err)
	}
}

func exchange(ctx context.Context, run Runner, kind string, q *Request) (*secret.Value, error) {
	conn, err := run.Run(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("starting it: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	if err := writeRequest(conn, q); err != nil {
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	v, err := readAnswer(conn)
	if err != nil && !errors.As(err, new(*failure)) {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return v, err
}
