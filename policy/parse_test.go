package policy_test

import (
	"testing"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// drivers knows one type of backend, "sops", with the one key "file".
var drivers = policy.Drivers{"sops": func(settings *conf.Node, dir string, report *conf.Problems) any {
	f := conf.Open(settings, report, "file")
	f.Required("file")
	return f.Path("file", dir, "")
}}

func parse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("/etc/secretfs/policy.yaml", []byte(text), policy.Env{Drivers: drivers})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExample(t *testing.T) {
	p := parse(t, `
backends:
  main: {type: sops, file: secrets.yaml}
secrets:
  a: {}
  b/c: {mode: "0440", only: {units: [x.service]}}
directories:
  d: {backend: main, prefix: kv}
`)
	tr := policy.NewTree(p)
	t.Log(tr.Children(""), tr.Children("b"))
	t.Log(tr.Lookup("d/x/y"))
	t.Logf("%+v", p)
}
