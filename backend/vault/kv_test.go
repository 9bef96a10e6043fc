package vault_test

import (
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/tests/vaultd"
)

func putKV2(t *testing.T, s *vaultd.Server, path string, data map[string]any) {
	t.Helper()
	s.Do(t, "POST", "secret/data/"+path, map[string]any{"data": data})
}

func TestKV2(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	putKV2(t, s, "apps/db", map[string]any{"user": "app", "password": "first of all"})
	p := open(t, s.Address, byToken, asRoot())
	first := p.reads("{path: secret/apps/db, field: password}", "first of all")
	p.reads("{path: secret/data/apps/db, field: password}", "first of all")
	putKV2(t, s, "apps/db", map[string]any{"user": "app", "password": "second"})
	if second := p.reads("{path: secret/apps/db, field: password}", "second"); second == first {
		t.Error("another value has the same version")
	}
	if pinned := p.reads("{path: secret/apps/db, field: password, version: 1}", "first of all"); pinned != first {
		t.Errorf("version 1 is called %s, it was %s", pinned, first)
	}
	p.fails("{path: secret/apps/db, field: user, version: 3}", backend.ErrNotFound, "nothing at this path")
	p.fails("{path: secret/apps/db, field: pasword}", backend.ErrNotFound, `it has no field "pasword", it has "password", "user"`)
	p.fails("{path: secret/apps, field: user}", backend.ErrNotFound, "reading secret/apps from "+s.Address+": there is nothing at this path")
	s.Do(t, "POST", "secret/delete/apps/db", map[string]any{"versions": []int{1}})
	p.fails("{path: secret/apps/db, field: user, version: 1}", backend.ErrNotFound, "version 1 was deleted at 2")
	s.Do(t, "PUT", "secret/destroy/apps/db", map[string]any{"versions": []int{1}})
	p.fails("{path: secret/apps/db, field: user, version: 1}", backend.ErrNotFound, "version 1 was destroyed")
	s.Do(t, "DELETE", "secret/data/apps/db", nil)
	p.fails("{path: secret/apps/db, field: user}", backend.ErrNotFound, "version 2 was deleted at 2")
	s.Do(t, "DELETE", "secret/metadata/apps/db", nil)
	p.fails("{path: secret/apps/db, field: user}", backend.ErrNotFound, "nothing at this path")
	putKV2(t, s, "apps/db", map[string]any{"user": "app", "password": "born again"})
	if again := p.reads("{path: secret/apps/db, field: password}", "born again"); again == first {
		t.Error("version 1 of a new secret has the version of the old one")
	}
}

func TestKV1(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/deep/kv", map[string]any{"type": "kv"})
	s.Do(t, "POST", "deep/kv/data/x", map[string]any{"a": "one"})
	p := open(t, s.Address, byToken, asRoot())
	first := p.reads("{path: deep/kv/data/x, field: a}", "one")
	if again := p.reads("{path: deep/kv/data/x, field: a}", "one"); again != first {
		t.Error("the version changes from read to read")
	}
	p.fails("{path: deep/kv/data/x, field: a, version: 1}", backend.ErrUnsupported, "deep/kv/ is of KV version 1, which keeps no versions")
	p.fails("{path: deep/kv/y, field: a}", backend.ErrNotFound, "there is nothing at this path")
	p.fails("{path: nomount/y, field: a}", backend.ErrRejected, "no engine is mounted there, or no policy of the token (root) allows anything at this path")
	s.Do(t, "POST", "deep/kv/data/x", map[string]any{"a": "two"})
	second := p.reads("{path: deep/kv/data/x, field: a}", "two")
	p.next()
	if after := p.reads("{path: deep/kv/data/x, field: a}", "two"); second == first || after != second {
		t.Errorf("versions %s, %s, and in the next process %s", first, second, after)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	putKV2(t, s, "f", map[string]any{
		"TEXT": "a \"b\" $c \\ `d`\né", "NUMBER": 90071992547409, "BOOL": true, "NONE": nil,
		"LIST": []string{"one\n", "two"}, "MAP": map[string]any{"k": []any{1, "x"}},
	})
	p := open(t, s.Address, byToken, asRoot())
	p.reads("{path: secret/f, field: TEXT}", "a \"b\" $c \\ `d`\né")
	p.reads("{path: secret/f, field: NUMBER}", "90071992547409")
	p.reads("{path: secret/f, field: BOOL}", "true")
	p.reads("{path: secret/f, field: NONE}", "")
	p.reads("{path: secret/f, field: LIST}", "one\ntwo\n")
	p.reads("{path: secret/f, field: MAP}", `{"k":[1,"x"]}`)
	p.reads("{path: secret/f}", `{"BOOL":true,"LIST":["one\n","two"],"MAP":{"k":[1,"x"]},"NONE":null,"NUMBER":90071992547409,"TEXT":"a \"b\" $c \\ `+"`d`"+`\né"}`+"\n")
	p.reads("{path: secret/f, format: dotenv}", "BOOL=\"true\"\nLIST=\"one\ntwo\n\"\nMAP=\"{\\\"k\\\":[1,\\\"x\\\"]}\"\nNONE=\"\"\nNUMBER=\"90071992547409\"\nTEXT=\"a \\\"b\\\" \\$c \\\\ \\`d\\`\né\"\n")
	putKV2(t, s, "odd%20name/%252F%3F%23x", map[string]any{"a b": "odd"})
	p.reads("{path: 'secret/odd name/%2F?#x', field: a b}", "odd")
	p.fails("{path: 'secret/odd name/%2F?#x', format: dotenv}", backend.ErrUnsupported, `field "a b" cannot be the name of a variable`)
}

// TestOneRequest: in a session under way a read is one request.
func TestOneRequest(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	putKV2(t, s, "a", map[string]any{"x": "1"})
	putKV2(t, s, "b", map[string]any{"x": "2"})
	p := open(t, s.Address, byToken, asRoot())
	p.reads("{path: secret/a, field: x}", "1")
	// Beside the reads, what the token may do is asked for once, and events.
	all := func() int {
		return s.Requests(t, "", "auth/token/lookup-self", "sys/events/")
	}
	before := all()
	for range 10 {
		p.reads("{path: secret/b, field: x}", "2")
	}
	if n := all() - before; n != 10 {
		t.Errorf("10 reads took %d requests", n)
	}
}

// TestUpgrade: a mount that is made version 2 is noticed.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := vaultd.Start(t, "")
	s.Do(t, "POST", "sys/mounts/kv", map[string]any{"type": "kv"})
	s.Do(t, "POST", "kv/x", map[string]any{"a": "one"})
	p := open(t, s.Address, byToken, asRoot())
	p.reads("{path: kv/x, field: a}", "one")
	s.Do(t, "POST", "sys/mounts/kv/tune", map[string]any{"options": map[string]string{"version": "2"}})
	must(t, p.Refresh(limited(t)))
	var err error
	for range 50 { // Vault rewrites what it has
		var got string
		if got, _, err = p.get("{path: kv/x, field: a}"); err == nil && got == "one" {
			return
		}
	}
	t.Fatal(err)
}
