package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Credential is one thing that the software kit of a cloud wants to know, under the
// name of the environment variable that the kit has for it.
type Credential struct {
	Variable string
	// Value is what the policy says outright, where it is no secret; else Source
	// is where it comes from.
	Value  string
	Source credential.Source
}

// A Cloud is what is known of a kind of master key beside the environment of
// secretfs-keys.
type Cloud struct {
	Type        Type
	Credentials []Credential
}

// A Lender goes and gets credentials: backend.Env.
type Lender struct {
	Credential func(ctx context.Context, s credential.Source) (*secret.Value, error)
	Forget     func(s credential.Source) // may be nil
}

// cloudVariables are the variables by which a kit is told who it is. Those that the
// policy gives take the place of all of them: half of one account and half of another
// would be neither.
var cloudVariables = map[Type][]string{
	AWSKMS: {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	},
	GCPKMS: {"GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"},
	AzureKV: {
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
		"AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_USERNAME", "AZURE_PASSWORD",
	},
	VaultTransit: {"VAULT_TOKEN", "VAULT_NAMESPACE"},
}

// Identify makes the environment of this process, which is secretfs-keys, that of
// the credentials that came with q.
func (q *Request) Identify() error {
	if len(q.Variables) != len(q.values) {
		return errors.New("as many credentials as variables are needed")
	}
	if len(q.Variables) == 0 {
		return nil
	}
	known := cloudVariables[q.Key.Type]
	for _, name := range known {
		os.Unsetenv(name)
	}
	for i, name := range q.Variables {
		if !slices.Contains(known, name) {
			return fmt.Errorf("a master key of type %s has no credential %s", q.Key.Type, name)
		}
		// The kits read strings, which cannot be wiped: this process ends after one
		// answer. What /proc shows of its environment is what it was started with.
		if err := os.Setenv(name, string(q.values[i].Bytes())); err != nil {
			return fmt.Errorf("the credential %s cannot be given to its kit", name)
		}
	}
	return nil
}

// borrow gets the credentials for a kind of master key. The caller destroys the
// Values.
func (r *Ring) borrow(ctx context.Context, typ Type) (variables []string, values []*secret.Value, err error) {
	i := slices.IndexFunc(r.cfg.Clouds, func(c Cloud) bool { return c.Type == typ })
	if i < 0 {
		return nil, nil, nil
	}
	defer func() {
		if err != nil {
			destroyAll(values)
		}
	}()
	for _, c := range r.cfg.Clouds[i].Credentials {
		v, err := r.lent(ctx, c)
		if err != nil {
			return nil, values, err
		}
		variables, values = append(variables, c.Variable), append(values, v)
	}
	return variables, values, nil
}

func (r *Ring) lent(ctx context.Context, c Credential) (*secret.Value, error) {
	if !c.Source.Given() {
		return secret.From([]byte(c.Value))
	}
	if r.lender.Credential == nil {
		return nil, helper.Refuse(backend.ErrLocked, "getting the %s: there is no way to get it here", c.Source)
	}
	v, err := r.lender.Credential(ctx, c.Source)
	if err != nil && ctx.Err() == nil {
		kind := backend.ErrLocked
		if errors.Is(err, backend.ErrTimeout) {
			kind = backend.ErrTimeout
		}
		return nil, helper.Refuse(kind, "%v", err)
	}
	return v, err
}

// disown drops credentials that somebody has typed and a server has refused.
func (r *Ring) disown(typ Type, err error) {
	if r.lender.Forget == nil || !errors.Is(err, backend.ErrRejected) && !errors.Is(err, backend.ErrExpired) {
		return
	}
	for _, cloud := range r.cfg.Clouds {
		for _, c := range cloud.Credentials {
			if cloud.Type == typ && c.Source.Kind == credential.Ask {
				r.lender.Forget(c.Source)
			}
		}
	}
}

func destroyAll(values []*secret.Value) {
	for _, v := range values {
		v.Destroy()
	}
}
