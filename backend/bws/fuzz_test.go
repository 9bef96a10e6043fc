package bws

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// fuzzSession has a key of zeros: those who fuzz are several processes.
func fuzzSession(f *testing.F) *session {
	raw, err := secret.New(64)
	if err != nil {
		f.Fatal(err)
	}
	key, err := enc.NewKey(raw)
	if err != nil {
		f.Fatal(err)
	}
	return &session{key: key, account: "a"}
}

// Whatever a server answers, each thing that is listed can be found, by its path and
// by its id.
func FuzzAnswer(f *testing.F) {
	s := fuzzSession(f)
	seal := func(text string) string {
		sealed, err := s.key.Seal([]byte(text))
		if err != nil {
			f.Fatal(err)
		}
		return sealed
	}
	for _, names := range [][]string{{"a", "b"}, {"a", "a"}, {"", "..", "%", "x/y"}} {
		var all []map[string]any
		for i, name := range names {
			all = append(all, map[string]any{
				"id": string(rune('a' + i)), "key": seal(name), "value": seal("v"), "note": "2.x",
				"projects": []map[string]string{{"id": string(rune('p' + i%2)), "name": seal("p")}},
			})
		}
		text, err := json.Marshal(map[string]any{"hasChanges": true, "secrets": map[string]any{"data": all}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"hasChanges":true,"secrets":{"data":[{"projects":[null]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readAnswer(&httpc.Reply{Status: 200, Header: http.Header{}, Body: text})
		if err != nil {
			return
		}
		v := newVault(s, a.secrets, nil)
		defer v.destroy()
		found := 0
		for _, dir := range v.list("") {
			for _, e := range v.list(dir.Name) {
				it, _, err := v.lookup(dir.Name + "/" + e.Name)
				if err != nil || v.items[it.wire.ID] != it {
					t.Errorf("%q/%q is listed and not found: %v", dir.Name, e.Name, err)
				}
				found++
			}
		}
		if found != len(v.items) {
			t.Errorf("%d of %d secrets are listed", found, len(v.items))
		}
		again := newVault(s, a.secrets, v)
		defer again.destroy()
		if !again.same(v) {
			t.Error("the same answer is another vault")
		}
	})
}

func FuzzRef(f *testing.F) {
	f.Add("", "prod", "db/password", "value")
	f.Add("be8e0ad8-d545-4017-a55a-b02f014d4158", "", "", "note")
	f.Add("", "", "%2F/..", "")
	f.Fuzz(func(t *testing.T, id, project, name, field string) {
		r := ref{id, project, name, field}
		if id != "" {
			r.project, r.name = "", ""
		}
		if got, ok := parseRef(r.key()); !ok || got != r {
			t.Errorf("%+v became %q, and that %+v", r, r.key(), got)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add([]byte("0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ=="))
	f.Add([]byte("0..:"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := secret.From(append([]byte(nil), text...))
		if err != nil {
			t.Fatal(err)
		}
		if tok, err := parseToken(v); err == nil {
			if body := tok.form(); cap(body) < len(body) || len(body) > 128+3*len(text) {
				t.Error("the form was copied")
			}
			tok.destroy()
		}
	})
}
