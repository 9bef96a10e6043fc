package dir

import (
	"context"
	"fmt"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/salt"
)

// An absent Backend has no directory. The environment of this process does not
// change any more.
type absent struct{ versions *salt.Salt }

var (
	_ backend.Indexer = (*absent)(nil)

	errAbsent = fmt.Errorf("the service manager has given no credentials: %s is not set; "+
		"put LoadCredential= into the unit that runs secretfs mount: %w", credentials, backend.ErrUnavailable)
)

func (*absent) Get(context.Context, string) (*backend.Secret, error) { return nil, errAbsent }

func (*absent) Stat(context.Context, string) (backend.Info, error) {
	return backend.Info{}, errAbsent
}

func (*absent) List(context.Context, string) ([]backend.Entry, error) { return nil, errAbsent }

func (a *absent) Close() error {
	a.versions.Close()
	return nil
}
