package keys

import (
	"context"
	"errors"
	"os"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// solvePlugin tries one plugin identity after the other. It sets PATH, because
// age knows no other way to name the place of plugins.
func solvePlugin(_ context.Context, q *Request) (*secret.Value, error) {
	if q.PluginsPath != "" {
		os.Setenv("PATH", q.PluginsPath+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	os.Unsetenv("AGEDEBUG") // it would make age print file keys
	var causes []error
	for _, encoding := range q.Identities {
		v, err := unwrapByPlugin(q.Key, encoding)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, errNoMatch) {
			causes = append(causes, err)
		}
	}
	if len(causes) == 0 {
		return nil, errNoMatch
	}
	return nil, helper.Refuse(worst(causes), "%s", sentence(nil, causes, nil))
}

func unwrapByPlugin(k MasterKey, encoding string) (*secret.Value, error) {
	asked := ""
	id, err := plugin.NewIdentity(encoding, silentUI(&asked))
	if err != nil {
		return nil, helper.Refuse(backend.ErrLocked, "%s: malformed plugin identity", k)
	}
	v, err := k.open([]age.Identity{id})
	missing, noMatch := (*plugin.NotFoundError)(nil), (*age.NoIdentityMatchError)(nil)
	switch {
	case err == nil:
		return v, nil
	case asked != "":
		return nil, helper.Refuse(backend.ErrLocked, "%s: age-plugin-%s asks %q, and nobody is there to answer", k, id.Name(), asked)
	case errors.As(err, &missing):
		return nil, helper.Refuse(backend.ErrLocked, "%s: age-plugin-%s is neither in plugins_path nor in PATH", k, id.Name())
	case errors.As(err, &noMatch):
		return nil, errNoMatch
	default:
		return nil, helper.Refuse(backend.ErrRejected, "%s: %s", k, helper.Printable(err.Error(), 200))
	}
}

// silentUI refuses every question and remembers it. Messages pass unseen: a
// plugin that only says "touch your key" can still be satisfied.
func silentUI(asked *string) *plugin.ClientUI {
	refuse := func(question string) error {
		*asked = helper.Printable(question, 100)
		return errors.New("nobody is there to answer")
	}
	return &plugin.ClientUI{
		DisplayMessage: func(string, string) error { return nil },
		RequestValue:   func(_, question string, _ bool) (string, error) { return "", refuse(question) },
		Confirm:        func(_, question, _, _ string) (bool, error) { return false, refuse(question) },
	}
}
