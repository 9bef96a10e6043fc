package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
)

// login gets a token by the method that the policy names.
func (b *Backend) login(ctx context.Context) (*session, error) {
	a := b.cfg.Auth
	switch a.Method {
	case methodToken, methodTokenFile:
		return b.given(ctx)
	case methodAppRole:
		return b.appRole(ctx)
	case methodUserpass:
		return b.withCredential(ctx, a.Password, "auth/"+a.Mount+"/login/"+a.Role, "password")
	case methodJWT:
		return b.withCredential(ctx, a.JWT, "auth/"+a.Mount+"/login", "jwt", field{"role", []byte(a.Role)})
	case methodKubernetes:
		return b.kubernetes(ctx)
	case methodCert:
		return b.enter(ctx, "auth/"+a.Mount+"/login", field{"name", []byte(a.Role)})
	}
	return nil, fmt.Errorf("logging in: there is no method %q: %w", a.Method, backend.ErrLocked)
}

// withCredential logs in with one credential, which name is sent under.
func (b *Backend) withCredential(ctx context.Context, from credential.Source, path, name string, more ...field) (*session, error) {
	v, err := b.credential(ctx, from)
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	s, err := b.enter(ctx, path, append(more, field{name, v.Bytes()})...)
	if err != nil && errors.Is(err, backend.ErrRejected) {
		b.forget(from)
	}
	return s, err
}

// kubernetes logs in as the pod's service account, whose token everybody in the pod
// may read.
func (b *Backend) kubernetes(ctx context.Context) (*session, error) {
	a := b.cfg.Auth
	path, role := "auth/"+a.Mount+"/login", field{"role", []byte(a.Role)}
	if a.JWT.Given() {
		return b.withCredential(ctx, a.JWT, path, "jwt", role)
	}
	jwt, err := os.ReadFile(serviceAccount)
	if err != nil {
		return nil, fmt.Errorf("reading the token of the service account (is this a pod? else name it with jwt): %v: %w", err, backend.ErrLocked)
	}
	defer secret.Wipe(jwt)
	return b.enter(ctx, path, role, field{"jwt", jwt})
}

// appRole logs in with a role id and, where there is one, a secret id.
func (b *Backend) appRole(ctx context.Context) (*session, error) {
	a := b.cfg.Auth
	role := []byte(a.Role)
	if a.RoleID.Given() {
		v, err := b.credential(ctx, a.RoleID)
		if err != nil {
			return nil, err
		}
		defer v.Destroy()
		role = v.Bytes()
	}
	path := "auth/" + a.Mount + "/login"
	switch {
	case !a.SecretID.Given():
		return b.enter(ctx, path, field{"role_id", role})
	case !a.Wrapped:
		return b.withCredential(ctx, a.SecretID, path, "secret_id", field{"role_id", role})
	}
	id, err := b.unwrapped(ctx, a.SecretID, "secret_id")
	if err != nil {
		return nil, err
	}
	defer id.Destroy()
	s, err := b.enter(ctx, path, field{"role_id", role}, field{"secret_id", id.Bytes()})
	if err != nil && errors.Is(err, backend.ErrRejected) {
		b.dropUnwrapped() // used up: another wrapping token may be there by now
	}
	return s, err
}

// A field is one of the parameters of a login; an empty one is left out.
type field struct {
	name  string
	value []byte
}

// enter logs in.
func (b *Backend) enter(ctx context.Context, path string, fields ...field) (*session, error) {
	body, err := bodyOf(fields)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(body)
	r := request{method: http.MethodPost, path: path, body: body}
	for _, f := range fields {
		r.hidden = append(r.hidden, f.value)
	}
	a, err := b.send(ctx, nil, r)
	if err != nil {
		return nil, loginError(path, err)
	}
	defer a.wipe()
	s, err := newSession(a.Auth)
	if err != nil {
		return nil, fmt.Errorf("logging in at %s: %w", path, err)
	}
	s.ours = true
	return s, nil
}

// loginError is the error of a login. It concerns all secrets, not one.
func loginError(path string, err error) error {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return fmt.Errorf("logging in at %s: %w", path, err)
	}
	switch r.status {
	case 400, 401, 403:
		return loginRefusal{fmt.Errorf("logging in at %s: %s: %w", path, r.text, backend.ErrRejected)}
	case 404, 405:
		return loginRefusal{fmt.Errorf("logging in at %s: no method is mounted there, or not this one (see mount in auth): %w", path, backend.ErrRejected)}
	}
	return fmt.Errorf("logging in at %s: %s: %w", path, r.text, r.kind)
}

// bodyOf writes a JSON object.
func bodyOf(fields []field) ([]byte, error) {
	o := map[string]string{}
	for _, f := range fields {
		if len(f.value) > 0 {
			o[f.name] = string(f.value) // on the heap until it is collected: net/http sends from there anyway
		}
	}
	return json.Marshal(o)
}

// newSession reads a token that was granted.
func newSession(g *grant) (*session, error) {
	if g == nil {
		return nil, fmt.Errorf("the answer holds no token (a second factor is not supported): %w", backend.ErrUnsupported)
	}
	token, err := unquote(g.ClientToken)
	if err != nil || token.Len() == 0 {
		token.Destroy()
		return nil, fmt.Errorf("the answer holds no token (a second factor is not supported): %w", backend.ErrUnsupported)
	}
	s := &session{token: token, accessor: g.Accessor, policies: g.Policies, known: true}
	s.begin(time.Duration(g.LeaseDuration)*time.Second, g.Renewable)
	return s, nil
}

// given takes a token that somebody else has got.
func (b *Backend) given(ctx context.Context) (*session, error) {
	from := b.cfg.Auth.Token
	if b.cfg.Auth.Wrapped {
		token, err := b.unwrapped(ctx, from, "token")
		if err != nil {
			return nil, err
		}
		b.dropUnwrapped() // it lives on as the session
		return &session{token: token, ours: true}, nil
	}
	token, err := b.credential(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := b.remembered(token); err != nil {
		token.Destroy()
		b.forget(from)
		return nil, fmt.Errorf("using the %s: %w", from, err)
	}
	return &session{token: token}, nil
}

// remember notes that a token is dead, so that nobody is asked about it again. The
// caller holds mu.
func (b *Backend) remember(token *secret.Value, why error) {
	b.dead.Destroy()
	b.dead, b.deadBecause = token.Share(), why
}

// remembered says why a token is known to be dead.
func (b *Backend) remembered(token *secret.Value) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead.Equal(token) {
		return b.deadBecause
	}
	return nil
}

// credential gets a credential from the unlocking chain.
func (b *Backend) credential(ctx context.Context, from credential.Source) (*secret.Value, error) {
	if b.cfg.Credential == nil {
		return nil, fmt.Errorf("there is no way to get the %s here: %w", from, backend.ErrLocked)
	}
	return b.cfg.Credential(ctx, from)
}

func (b *Backend) forget(from credential.Source) {
	if b.cfg.Forget != nil {
		b.cfg.Forget(from)
	}
}

// unwrapPath is where a wrapping token is given for what it wraps (concepts,
// "Response wrapping").
const unwrapPath = "sys/wrapping/unwrap"

var noQuery url.Values

// unwrapped is the secret that a wrapping token gives, once. It is kept, since
// nobody can get it again.
func (b *Backend) unwrapped(ctx context.Context, from credential.Source, name string) (*secret.Value, error) {
	b.mu.Lock()
	kept := b.inner.Share()
	b.mu.Unlock()
	if kept.Bytes() != nil {
		return kept, nil
	}
	if b.cfg.Save == nil { // nobody would have it afterwards
		return nil, fmt.Errorf("the %s is a wrapping token, good for one use, which is left to the mount: %w", from, backend.ErrLocked)
	}
	wrapping, err := b.credential(ctx, from)
	if err != nil {
		return nil, err
	}
	defer wrapping.Destroy()
	if err := b.remembered(wrapping); err != nil {
		b.forget(from)
		return nil, fmt.Errorf("unwrapping the %s: %w", from, err)
	}
	a, err := b.send(ctx, wrapping, request{method: http.MethodPost, path: unwrapPath, query: noQuery, body: []byte("{}")})
	if err != nil {
		return nil, b.unwrapError(from, wrapping, err)
	}
	defer a.wipe()
	v, err := inside(a, name)
	if err != nil {
		return nil, fmt.Errorf("unwrapping the %s: %w", from, err)
	}
	b.mu.Lock()
	b.inner.Destroy()
	b.inner = v.Share()
	b.remember(wrapping, fmt.Errorf("it was unwrapped already, by this backend, and what it held is used up: wrap another: %w", backend.ErrRejected))
	b.mu.Unlock()
	b.save()
	return v, nil
}

func (b *Backend) unwrapError(from credential.Source, wrapping *secret.Value, err error) error {
	if code := statusOf(err); code != 400 && code != 403 {
		return fmt.Errorf("unwrapping the %s: %w", from, err)
	}
	why := fmt.Errorf("the wrapping token has run out or was used already; if not by this machine, somebody else has what it held: revoke that, and wrap another: %w", backend.ErrRejected)
	b.mu.Lock()
	b.remember(wrapping, why)
	b.mu.Unlock()
	b.forget(from)
	return fmt.Errorf("unwrapping the %s: %w", from, why)
}

// inside finds the secret in what was wrapped: a token is in auth, or a field as
// any other secret.
func inside(a *answer, name string) (*secret.Value, error) {
	if a.Auth != nil && len(a.Auth.ClientToken) > 0 {
		return unquote(a.Auth.ClientToken)
	}
	o, err := a.fields()
	if err != nil {
		return nil, err
	}
	defer o.wipe()
	raw, ok := o[name]
	if !ok {
		return nil, fmt.Errorf("what it holds has no field %q: %w", name, backend.ErrRejected)
	}
	return unquote(raw)
}

func (b *Backend) dropUnwrapped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inner.Destroy()
	b.inner = nil
}
