package sops

import (
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
)

func TestContract(t *testing.T) {
	secrets := map[string]string{"token": "Zq8v-R1xW-0pLm", "db/password": "Ht5n-B7cY-9sKd"}
	whole := mustSeal(t, YAML, "token: Zq8v-R1xW-0pLm\ndb: {password: Ht5n-B7cY-9sKd}\n")
	other := mustSeal(t, YAML, "token: Uf3j-G6kE-2wQa\n")
	opened := func(t *testing.T, file []byte, change ...func(*Config)) *Backend {
		return newFixture(t, file, change...).Backend
	}
	backendtest.Run(t, func(t *testing.T) backendtest.Fixture {
		return backendtest.Fixture{
			Backend: opened(t, whole), Secrets: secrets, Missing: "db/none",
			Corrupt: func(t *testing.T) (backend.Backend, string) {
				at, with := cutSealed(whole), cutSealed(other)
				forged := string(whole[:at[0]]) + string(other[with[0]:with[1]]) + string(whole[at[1]:])
				return opened(t, []byte(forged)), "db/password"
			},
			Locked: func(t *testing.T) (backend.Backend, string) {
				return opened(t, whole, func(c *Config) { c.Keys = &ageKeys{file: "/nonexistent"} }), "token"
			},
		}
	})
}
