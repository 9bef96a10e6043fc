package keys_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// pluginName is the age plugin that this test binary is when started under the
// name age-plugin-NAME.
const pluginName = "fstest"

// TestMain lets the test binary be the helper and the age plugin as well.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "age-plugin-"+pluginName:
		os.Exit(pluginMain())
	case len(os.Args) == 3 && os.Args[1] == "helper":
		if err := helperMain(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

func helperMain(kind string) error {
	conn, err := helper.Conn()
	if err != nil {
		return err
	}
	return keys.Serve(kind, conn)
}

// helpers starts this binary.
func helpers(env ...string) helper.Starter {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return helpertest.Exec{
		Commands: map[string][]string{
			keys.KindGPG:    {self, "helper", keys.KindGPG},
			keys.KindPlugin: {self, "helper", keys.KindPlugin},

			keys.KindPassphrase: {self, "helper", keys.KindPassphrase},
		},
		Env: append([]string{"PATH=" + os.Getenv("PATH")}, env...),
	}.Run
}

func pluginMain() int {
	p, err := plugin.New(pluginName)
	if err != nil {
		return 1
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) { return testPlugin{p, string(data)}, nil })
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return testPlugin{p, string(data)}, nil })
	return p.Main()
}

// A testPlugin behaves as the data of the identity says. What it wraps, any of
// its identities opens.
type testPlugin struct {
	p    *plugin.Plugin
	what string
}

func (testPlugin) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: pluginName, Body: fileKey}}, nil
}

func (t testPlugin) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if pidFile, ok := strings.CutPrefix(t.what, "hangs "); ok {
		os.WriteFile(pidFile, fmt.Append(nil, os.Getpid()), 0o600)
		time.Sleep(time.Hour)
	}
	switch t.what {
	case "asks":
		if _, err := t.p.RequestValue("Enter the PIN", true); err != nil {
			return nil, err
		}
		return nil, errors.New("got an answer")
	case "fails":
		return nil, errors.New("no device is plugged in")
	case "talks":
		if err := t.p.DisplayMessage("touch the device"); err != nil {
			return nil, err
		}
	case "other":
		return nil, age.ErrIncorrectIdentity
	}
	for _, s := range stanzas {
		if s.Type == pluginName {
			return s.Body, nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}
