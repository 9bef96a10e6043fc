package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// catchUp is between two attempts where a node lags behind (412).
	catchUp = 100 * time.Millisecond
	// maxCatchUp is how many there are.
	maxCatchUp = 5
)

// A request is one call of the API.
type request struct {
	method string
	path   string // below /v1/, not escaped
	query  url.Values
	body   []byte
	hidden [][]byte // what of it must not be quoted
}

// send makes one call, with token where there is one, and decodes the answer. The
// caller wipes it.
func (b *Backend) send(ctx context.Context, token *secret.Value, r request) (*answer, error) {
	for attempt := 0; ; attempt++ {
		reply, err := b.client.Do(ctx, b.http(token, r))
		if err != nil {
			return nil, err
		}
		if reply.Status != http.StatusPreconditionFailed || attempt == maxCatchUp {
			defer reply.Wipe()
			return judge(reply, append(r.hidden, token.Bytes())...)
		}
		reply.Wipe()
		select {
		case <-ctx.Done():
			return nil, ended(ctx)
		case <-time.After(catchUp):
		}
	}
}

// http spells a call. net/http wants the token as a string, which stays on the
// heap until it is collected.
func (b *Backend) http(token *secret.Value, r request) httpc.Request {
	h := http.Header{"X-Vault-Request": {"true"}}
	if b.cfg.Namespace != "" {
		h.Set("X-Vault-Namespace", b.cfg.Namespace)
	}
	if t := token.Bytes(); t != nil {
		h["X-Vault-Token"] = []string{string(t)}
	}
	u := b.cfg.Address + "/v1/" + escapePath(r.path)
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	return httpc.Request{Method: r.method, URL: u, Header: h, Body: r.body}
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func judge(reply *httpc.Reply, hidden ...[]byte) (*answer, error) {
	if !reply.OK() {
		if reply.Status == http.StatusNotFound { // a deleted version answers so, and says more
			if a, err := decode(reply); err == nil && len(a.Data) > 0 {
				return a, &refusal{status: reply.Status, text: "there is nothing at this path", kind: backend.ErrNotFound}
			}
		}
		return nil, refused(reply, hidden...)
	}
	return decode(reply)
}

// call makes a call as whoever we are logged in as. A token that turns out dead is
// replaced once. It also tells the session that was used.
func (b *Backend) call(ctx context.Context, r request) (*answer, *session, error) {
	for attempt := 0; ; attempt++ {
		s, err := b.session(ctx)
		if err != nil {
			return nil, nil, err
		}
		token := b.share(s)
		a, err := b.send(ctx, token, r)
		token.Destroy()
		if statusOf(err) != http.StatusForbidden {
			return a, s, err
		}
		why := b.examine(ctx, s)
		if why == nil {
			return nil, s, b.denied(s, r, err)
		}
		b.bury(s, why)
		if attempt > 0 {
			return nil, s, why
		}
	}
}

// denied is the error of a token that is good, and may not do this.
func (b *Backend) denied(s *session, r request, err error) error {
	verb := "read"
	if r.method != http.MethodGet {
		verb = "update"
	}
	return backend.Alone(fmt.Errorf("the token is good, but no policy of it (%s) allows to %s %s: %w", b.policiesOf(s), verb, r.path, errors.Unwrap(err)))
}

// policiesOf names the policies of a token, as far as they are known.
func (b *Backend) policiesOf(s *session) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(s.policies) == 0 {
		return "of which none is known"
	}
	return strings.Join(s.policies, ", ")
}

// ended is why ctx has ended.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("no answer in time: %w", backend.ErrTimeout)
}
