package keys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// helperTime is how long one helper may take where ctx gives more.
const helperTime = 30 * time.Second

// askGPG has gpg open a pgp entry, if there is a GnuPG home. It runs as the
// home's owner: gpg does what the configuration there says, and the agent that
// it starts serves that user's other programs too.
func (r *Ring) askGPG(ctx context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type != PGP || r.cfg.GnupgHome == "" {
		return nil, errNoMatch
	}
	call := backend.HelperCall{Kind: KindGPG, User: r.cfg.HelperUser}
	if fi, err := os.Stat(r.cfg.GnupgHome); err == nil && call.User == "" {
		call.User = asOwner(fi.Sys().(*syscall.Stat_t).Uid)
	}
	return r.ask(ctx, call, &Request{Key: k, GnupgHome: r.cfg.GnupgHome, GnupgProgram: r.cfg.GnupgProgram})
}

// asOwner is the user of a helper that works with what uid owns. A user mount
// has one user only.
func asOwner(uid uint32) string {
	if os.Geteuid() != 0 {
		return ""
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// askCloud has secretfs-keys open everything else, unless there is a key service
// and no credentials but the environment's. It needs to be nobody in particular.
func (r *Ring) askCloud(ctx context.Context, k MasterKey) (*secret.Value, error) {
	if k.Type == Age || k.Type == PGP || r.cfg.KeyService != "" && !r.cfg.identifies(k.Type) {
		return nil, errNoMatch
	}
	call := backend.HelperCall{Kind: KindKeys, User: r.cfg.HelperUser}
	if r.cfg.VaultAddresses != nil {
		call.Env = []string{VaultAllowlist + "=" + allowlist(r.cfg.VaultAddresses)}
	}
	variables, values, err := r.borrow(ctx, k.Type)
	if err != nil {
		return nil, err
	}
	defer destroyAll(values)
	v, err := r.ask(ctx, call, &Request{Key: k, Variables: variables, values: values})
	r.disown(k.Type, err)
	return v, err
}

// askService has secretfs-keys ask a key service, for master keys of every kind. It
// runs as the owner of the socket, who may connect to it.
func (r *Ring) askService(ctx context.Context, k MasterKey) (*secret.Value, error) {
	if r.cfg.KeyService == "" {
		return nil, errNoMatch
	}
	call := backend.HelperCall{Kind: KindKeys, User: r.cfg.HelperUser}
	if fi, err := os.Stat(r.cfg.KeyService); err == nil && call.User == "" {
		call.User = asOwner(fi.Sys().(*syscall.Stat_t).Uid)
	}
	return r.ask(ctx, call, &Request{Key: k, KeyService: r.cfg.KeyService})
}

// ask puts one request to a new helper.
func (r *Ring) ask(ctx context.Context, call backend.HelperCall, q *Request) (*secret.Value, error) {
	kind := call.Kind
	if r.start == nil {
		return nil, helper.Refuse(backend.ErrLocked, "%s needs the helper %q, and none is configured", q.Key, kind)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	ask := helper.Ask{Call: call, Body: q, Secrets: q.values, Limit: shareLen}
	v, err := ask.Exchange(ctx, r.start)
	switch {
	case err == nil && v.Len() == 0:
		v.Destroy()
		return nil, helper.Refuse(backend.ErrUnavailable, "%s: the helper %q gave a data key of 0 bytes", q.Key, kind)
	case err == nil:
		return v, nil
	case ctx.Err() != nil, errors.Is(err, backend.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return nil, helper.Refuse(backend.ErrTimeout, "%s: the helper %q gave no answer before the deadline", q.Key, kind)
	case errors.As(err, new(*helper.Failure)):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, helper.Refuse(backend.ErrLocked, "%s needs the helper %q: %v", q.Key, kind, err)
	default:
		return nil, helper.Refuse(backend.ErrUnavailable, "%s: asking the helper %q: %v", q.Key, kind, err)
	}
}
