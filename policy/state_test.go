package policy_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

func TestStateDirectory(t *testing.T) {
	keeping := policy.Drivers{"sops": drivers["sops"], "far": {Settings: drivers["sops"].Settings, Disk: true}}
	for text, want := range map[string]struct {
		state string
		keeps bool
	}{
		oneBackend:                                                       {"/var/lib/secretfs", false},
		"state: /data/state\n" + oneBackend:                              {"/data/state", true},
		"state: state\n" + oneBackend:                                    {"/etc/secretfs/state", true},
		"backends: {far: {type: far, file: x}}\n":                        {"/var/lib/secretfs", true},
		"state: /var/s\nbackends: {far: {type: far, file: x}}\n":         {"/var/s", true},
		"backends: {a: {type: sops, file: x}, b: {type: sops, file: y}}": {"/var/lib/secretfs", false},
	} {
		p, err := policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: keeping})
		if err != nil {
			t.Fatal(err)
		}
		if p.State != want.state || p.KeepsState != want.keeps {
			t.Errorf("%q: %s, kept: %v", text, p.State, p.KeepsState)
		}
	}
	p, err := policy.Parse("/p.yaml", []byte("{}"), policy.Env{State: "/home/x/.local/state/secretfs"})
	if err != nil || p.State != "/home/x/.local/state/secretfs" {
		t.Errorf("of a user: %v, %v", p, err)
	}
	if _, err := parse("state: /run/secrets/state\n"); err == nil || !strings.Contains(err.Error(), `1:8: state: "/run/secrets/state" lies in the mount`) {
		t.Error(err)
	}
}
