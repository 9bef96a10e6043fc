package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/conf"
)

// opened is a type of backend that a secret opens, and whose secrets have an
// item in place of a key.
var opened = policy.Driver{
	Settings: func(n *conf.Node, _ string, report *conf.Problems) any {
		return conf.Open(n, report, "by").Text("by", "")
	},
	TTL:        time.Minute,
	SecretKeys: []string{"item"},
	Reference: func(f conf.Fields, path string, _ any) string {
		return "item " + f.Text("item", path)
	},
	Secrets: func(config any) []string {
		if config.(string) == "" {
			return nil
		}
		return []string{config.(string)}
	},
}

func parseOpened(text string) (*policy.Policy, error) {
	return policy.Parse("/p.yaml", []byte(text), policy.Env{Drivers: policy.Drivers{"o": opened}})
}

func TestCycles(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"backends: {a: {type: o}, b: {type: o, by: sa}}\nsecrets: {sa: {backend: a}, sb: {backend: b}}\n", ""},
		{
			"backends:\n  a: {type: o, by: sb}\n  b: {type: o, by: sa}\nsecrets: {sa: {backend: a}, sb: {backend: b}}\n",
			`/p.yaml:2:3: backends.a: nothing can open backend "a", its credentials go in a circle: a -> b -> a`,
		},
		{"backends: {a: {type: o, by: sa}}\nsecrets: {sa: {}}\n", `circle: a -> a`},
		{"backends: {a: {type: o, by: sx}}\nsecrets: {sa: {}}\n", `a credential of backend "a" is the secret "sx", which the policy does not have`},
		// Other mistakes are told beside it, those that make no tree too.
		{
			"backends: {a: {type: o, by: sx}}\nsecrets: {s: {}, s/t: {}, s/t/u: {}}\n",
			`"s" cannot be a directory: it is the secret at 2:11`,
		},
		// Below a dynamic directory whatever the backend has is a secret.
		{"backends: {a: {type: o}, b: {type: o, by: d/x}}\ndirectories: {d: {backend: a}}\n", ""},
	} {
		_, err := parseOpened(c.text)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q in it", c.text, err, c.want)
		case err != nil && strings.Count(err.Error(), "circle") > 1:
			t.Errorf("%s: one circle is told more than once: %v", c.text, err)
		}
	}
}

func TestKeysOfADriver(t *testing.T) {
	p, err := parseOpened(`
backends: {a: {type: o, max_stale: 2h, in_flight: 3}}
secrets:
  plain: {}
  own: {item: Mail, ttl: 5s, wait: 30s}
`)
	if err != nil {
		t.Fatal(err)
	}
	own, plain := p.Secrets[0], p.Secrets[1]
	if own.Key != "item Mail" || plain.Key != "item plain" || own.Wait != 30*time.Second {
		t.Errorf("the keys are %q and %q, the wait %v", own.Key, plain.Key, own.Wait)
	}
	b := p.Backends[0]
	if want := (policy.Timing{TTL: 5 * time.Second, MaxStale: 2 * time.Hour}); b.TTL != time.Minute || b.InFlight != 3 || b.Timings["item Mail"] != want || len(b.Timings) != 1 {
		t.Errorf("the backend has %+v", b)
	}
	for _, text := range []string{
		"backends: {a: {type: o}}\nsecrets: {x: {itme: y}}\n",
		"backends: {a: {type: o, in_flight: 0}}\n",
		"backends: {a: {type: o}}\nsecrets: {x: {wait: 5}}\n",
	} {
		if _, err := parseOpened(text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
	for _, text := range []string{
		"backends: {main: {type: sops, file: x, ttl: 5s}}\n",
		"backends: {main: {type: sops, file: x}}\nsecrets: {x: {ttl: 5s}}\n",
	} {
		const want = "ttl: has no meaning in a backend of type sops, which notices changes by itself"
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
