package vault

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A bench makes sync answers, encrypted as clients do.
type bench struct {
	t       testing.TB
	user    *enc.Key
	folders []any
	items   []any
}

func newBench(t testing.TB) *bench {
	v, err := secret.New(64)
	if err != nil {
		t.Fatal(err)
	}
	rand.Read(v.Bytes())
	k, err := enc.NewKey(v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return &bench{t: t, user: k}
}

func (b *bench) seal(s string) string {
	text, err := b.user.Seal([]byte(s))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

type fields = map[string]any

// add puts an item of a kind there; texts of part are sealed.
func (b *bench) add(id string, kind int, name string, more fields) {
	it := fields{"id": id, "type": kind, "name": b.seal(name), "notes": nil, "organizationId": nil, "folderId": nil, "collectionIds": []any{}, "deletedDate": nil, "key": nil}
	for k, v := range more {
		it[k] = v
	}
	b.items = append(b.items, it)
}

func (b *bench) sealed(texts map[string]string) fields {
	o := fields{}
	for k, v := range texts {
		o[k] = b.seal(v)
	}
	return o
}

func (b *bench) raw() []byte {
	text, err := json.Marshal(fields{
		"object": "sync", "profile": fields{"email": "me@example.test", "organizations": []any{}}, "folders": b.folders,
		"collections": []any{}, "ciphers": b.items,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *bench) open() *Vault {
	b.t.Helper()
	v, err := Open(b.raw(), b.user)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(v.Destroy)
	return v
}

// read opens what r means.
func read(v *Vault, r Ref) (string, error) {
	p, err := v.Look(r)
	if err != nil {
		return "", err
	}
	defer p.Destroy()
	s, err := p.Open(time.Unix(59, 0))
	if err != nil {
		return "", err
	}
	defer s.Destroy()
	return string(s.Bytes()), nil
}

func (b *bench) wants(v *Vault, cases map[Ref]string) {
	b.t.Helper()
	for r, want := range cases {
		if got, err := read(v, r); got != want || err != nil {
			b.t.Errorf("%s: got %q, %v; want %q", r, got, err, want)
		}
	}
}

func (b *bench) refuses(v *Vault, r Ref, kind error, text string) {
	b.t.Helper()
	if got, err := read(v, r); !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		b.t.Errorf("%s: got %q, %v; want %v with %q", r, got, err, kind, text)
	}
}

func TestNames(t *testing.T) {
	b := newBench(t)
	b.folders = []any{fields{"id": "f1", "name": b.seal("Work")}, fields{"id": "f2", "name": b.seal("Home")}}
	login := func(user, password string) fields {
		return fields{"login": b.sealed(map[string]string{"username": user, "password": password, "uri": "https://" + user + ".test/x"})}
	}
	in := func(folder string, o fields) fields { o["folderId"] = folder; return o }
	b.add("id-1", 1, "Mail", in("f1", login("alice", "p1")))
	b.add("id-2", 1, "Mail", in("f2", login("bob", "p2")))
	b.add("id-3", 2, "mail", fields{"notes": b.seal("n3")})
	b.add("id-4", 1, "DB production", login("dba", "p4"))
	b.add("id-5", 1, "DB staging", login("dba", "p5"))
	gone := login("x", "p6")
	gone["deletedDate"] = "2026-01-01T00:00:00Z"
	b.add("id-6", 1, "Gone", gone)
	b.add("id-7", 1, "100% sure?", login("q", "p7"))
	v := b.open()
	b.wants(v, map[Ref]string{
		{Item: "MAIL", User: "Alice"}:            "p1",
		{Item: "Mail", Folder: "home"}:           "p2",
		{Item: "Mail", Folder: "f1"}:             "p1",
		{Item: "Mail", Kind: "note"}:             "n3",
		{Item: "mail"}:                           "n3", // the only one that is written so
		{Item: "Mail", URI: "bob.test"}:          "p2",
		{Item: "ID-1"}:                           "p1",
		{Item: "db PRODUCTION"}:                  "p4",
		{Item: "production", Loose: true}:        "p4",
		{Item: "100% sure?", Field: "user_name"}: "q",
	})
	b.refuses(v, Ref{Item: "Mail"}, backend.ErrUnsupported, `2 items are called "Mail": id-1 (login, folder "Work"), id-2 (login, folder "Home")`)
	b.refuses(v, Ref{Item: "MAIL"}, backend.ErrUnsupported, "3 items")
	b.refuses(v, Ref{Item: "DB", Loose: true}, backend.ErrUnsupported, "2 items")
	b.refuses(v, Ref{Item: "DB"}, backend.ErrNotFound, `no item "DB"`)
	b.refuses(v, Ref{Item: "Gone"}, backend.ErrNotFound, "in the trash")
	b.refuses(v, Ref{Item: "id-6"}, backend.ErrNotFound, "in the trash")
	b.refuses(v, Ref{Item: "Mail", User: "carol"}, backend.ErrNotFound, "3 have that name")
	b.refuses(v, Ref{Item: "Mail", Folder: "wrok"}, backend.ErrNotFound, `no folder "wrok"`)
	b.refuses(v, Ref{Item: "Mail", Organization: "x"}, backend.ErrNotFound, `no organization "x"`)
}

func TestFields(t *testing.T) {
	b := newBench(t)
	b.add("l", 1, "login", fields{
		"notes": b.seal("the notes"),
		"login": fields{
			"username": b.seal("me"), "password": b.seal("pw"), "totp": b.seal("JBSW Y3DP-ehpk3pxp"),
			"uris": []any{fields{"uri": b.seal("https://a.test")}, fields{"uri": b.seal("https://b.test")}},
		},
		"fields": []any{
			fields{"type": 1, "name": b.seal("API Key"), "value": b.seal("k")},
			fields{"type": 2, "name": b.seal("on"), "value": b.seal("true")},
			fields{"type": 3, "name": b.seal("same"), "linkedId": 101, "value": nil},
			fields{"type": 0, "name": b.seal("void"), "value": nil},
			fields{"type": 0, "name": b.seal("twin"), "value": b.seal("1")},
			fields{"type": 0, "name": b.seal("twin"), "value": b.seal("2")},
			fields{"type": 0, "name": b.seal("Password"), "value": b.seal("not this one")},
			fields{"type": 0, "name": nil, "value": nil},
		},
	})
	b.add("n", 2, "note", fields{"notes": b.seal("line\n"), "secureNote": fields{"type": 0}})
	b.add("c", 3, "card", fields{"card": b.sealed(map[string]string{"number": "4111", "expMonth": "4", "code": "123", "cardholderName": "Me"})})
	b.add("i", 4, "identity", fields{"identity": b.sealed(map[string]string{"firstName": "A", "licenseNumber": "L1"})})
	b.add("s", 5, "ssh", fields{"sshKey": b.sealed(map[string]string{"privateKey": "PRIVATE", "publicKey": "ssh-ed25519 x", "keyFingerprint": "SHA256:x"})})
	b.add("p", 8, "passport", fields{"passport": b.sealed(map[string]string{"passportNumber": "P1"})})
	v := b.open()
	b.wants(v, map[Ref]string{
		{Item: "l"}: "pw", {Item: "l", Field: "username"}: "me", {Item: "l", Field: "user"}: "me", {Item: "l", Field: "notes"}: "the notes",
		{Item: "l", Field: "uri"}: "https://a.test", {Item: "l", Field: "totp_secret"}: "JBSW Y3DP-ehpk3pxp", {Item: "l", Field: "totp"}: "996554",
		{Item: "l", Field: "code"}: "996554", {Item: "l", Field: "api key"}: "k", {Item: "l", Field: "on"}: "true", {Item: "l", Field: "same"}: "pw",
		{Item: "l", Field: "PASSWORD"}: "pw",
		{Item: "n"}:                    "line\n", {Item: "c"}: "4111", {Item: "c", Field: "exp_month"}: "4", {Item: "c", Field: "security code"}: "123", {Item: "c", Field: "code"}: "123",
		{Item: "i", Field: "first-name"}: "A", {Item: "s"}: "PRIVATE", {Item: "s", Field: "public_key"}: "ssh-ed25519 x", {Item: "s", Field: "fingerprint"}: "SHA256:x",
		{Item: "p", Field: "passportNumber"}: "P1",
	})
	b.refuses(v, Ref{Item: "i"}, backend.ErrNotFound, "firstname, licensenumber")
	b.refuses(v, Ref{Item: "n", Field: "password"}, backend.ErrNotFound, "it has notes")
	b.refuses(v, Ref{Item: "l", Field: "void"}, backend.ErrNotFound, "empty")
	b.refuses(v, Ref{Item: "l", Field: "twin"}, backend.ErrUnsupported, `2 fields "twin"`)
	b.refuses(v, Ref{Item: "l", Field: "nope"}, backend.ErrNotFound, "password, totp, totp_secret, uri, username and 8 of its own")
}

func TestItemsStandAlone(t *testing.T) {
	b, other := newBench(t), newBench(t)
	ok := fields{"login": b.sealed(map[string]string{"password": "fine"})}
	b.add("ok", 1, "ok", ok)
	b.add("new", 1, "x", fields{"name": nil, "login": nil, "data": `{"format_version":1,"wrapped_cek":"2.x","envelope":"AA"}`})
	b.add("stranger", 1, "x", fields{"name": other.seal("stranger"), "login": ok["login"]})
	b.add("cek", 1, "cek", fields{"key": other.seal(strings.Repeat("k", 64))})
	b.add("org", 1, "org", fields{"organizationId": "gone", "login": ok["login"]})
	b.add("odd", 1, "odd", fields{"type": "one"})
	b.add("cbc", 1, "cbc", fields{"login": fields{"password": "0.AAAAAAAAAAAAAAAAAAAAAA==|AAAAAAAAAAAAAAAAAAAAAA=="}})
	b.add("what", 1, "what", fields{"login": fields{"password": "99.AAAA"}})
	b.items = append(b.items, fields{"id": "bare"})
	v := b.open()
	b.wants(v, map[Ref]string{{Item: "ok"}: "fine"})
	b.refuses(v, Ref{Item: "new"}, backend.ErrUnsupported, "newer than this program")
	b.refuses(v, Ref{Item: "stranger", Field: "notes"}, backend.ErrNotFound, "no field")
	b.refuses(v, Ref{Item: "cek"}, backend.ErrCorrupt, "its key")
	b.refuses(v, Ref{Item: "org"}, backend.ErrLocked, "organization gone")
	b.refuses(v, Ref{Item: "cbc"}, backend.ErrUnsupported, "no MAC")
	b.refuses(v, Ref{Item: "what"}, backend.ErrCorrupt, "not an encrypted string")
	b.refuses(v, Ref{Item: "bare"}, backend.ErrNotFound, "")
	b.refuses(v, Ref{Item: "nothing"}, backend.ErrNotFound, "cannot")
}

func TestOlderServersSpellNamesOtherwise(t *testing.T) {
	b := newBench(t)
	raw := fmt.Sprintf(`{"Profile":{"Email":"me@x"},"Folders":[{"Id":"f","Name":%q}],"Ciphers":[{"Id":"1","Type":1,"Name":%q,"FolderId":"f","Login":{"Password":%q}}]}`,
		b.seal("Work"), b.seal("Mail"), b.seal("pw"))
	v, err := Open([]byte(raw), b.user)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Destroy()
	b.wants(v, map[Ref]string{{Item: "mail", Folder: "work"}: "pw"})
}

func TestVersions(t *testing.T) {
	b := newBench(t)
	l := b.sealed(map[string]string{"username": "me", "password": "pw", "totp": "JBSWY3DPEHPK3PXP"})
	b.add("1", 1, "x", fields{"login": l})
	version := func(field string, at int64) backend.Version {
		p, err := b.open().Look(Ref{Item: "1", Field: field})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Destroy()
		v, err := p.Version(time.Unix(at, 0))
		if err != nil || len(v) > 32 {
			t.Fatal(v, err)
		}
		return v
	}
	password, code := version("password", 0), version("totp", 0)
	if version("password", 100) != password || version("totp", 29) != code {
		t.Error("a version changes although nothing has")
	}
	if version("totp", 30) == code {
		t.Error("a code has the version of the one before")
	}
	b.items[0].(fields)["revisionDate"], l["username"] = "later", b.seal("you")
	if version("password", 0) != password {
		t.Error("a version changes with another field")
	}
	l["password"] = b.seal("pw2")
	if version("password", 0) == password {
		t.Error("a version stays although the value changes")
	}
}

func TestKeysOfRefs(t *testing.T) {
	seen := map[string]Ref{}
	for _, r := range []Ref{
		{Item: "a"},
		{Item: "a?field=b"},
		{Item: "a", Field: "b"},
		{Item: "a%3F"},
		{Item: "a?"},
		{Item: "A"},
		{Item: "a", User: "b"},
		{Item: "a", User: "b&field=c"},
		{Item: "a", User: "b", Field: "c"},
		{Item: "a", Loose: true},
		{Item: "a", Kind: "note"},
		{Item: "a", Folder: "ü/ö"},
		{Item: "item:a"},
		{Item: "a", Attachment: "x"},
		{Item: "a", Collection: "c", Organization: "o", URI: "u"},
	} {
		if other, ok := seen[r.String()]; ok {
			t.Errorf("%+v and %+v have the key %s", r, other, r)
		}
		seen[r.String()] = r
		if back, err := ParseRef(r.String()); err != nil || back != r {
			t.Errorf("%+v is %s, which is read as %+v, %v", r, r, back, err)
		}
	}
	for _, key := range []string{"", "a", "item:", "item:?field=x", "item:a?%zz"} {
		if _, err := ParseRef(key); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// The codes are those of RFC 6238, appendix B.
func TestCodes(t *testing.T) {
	const (
		sha1   = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		sha256 = sha1 + "GEZDGNBVGY3TQOJQGEZA"
	)
	for _, c := range []struct {
		text string
		at   int64
		want string
	}{
		{"otpauth://totp/x?digits=8&secret=" + sha1, 59, "94287082"},
		{"otpauth://totp/x?digits=8&secret=" + sha1, 1111111109, "07081804"},
		{"otpauth://totp/x?digits=8&secret=" + sha1, 20000000000, "65353130"},
		{"otpauth://totp/x?digits=8&algorithm=SHA256&secret=" + sha256, 59, "46119246"},
		{sha1, 59, "287082"},
		{strings.ToLower(sha1), 59, "287082"},
		{"otpauth://totp/x?period=60&secret=" + sha1, 119, "287082"},
	} {
		seed, err := secret.From([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		code, err := Code(seed, time.Unix(c.at, 0))
		seed.Destroy()
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := string(code.Bytes()); got != c.want {
			t.Errorf("%s at %d: %s, want %s", c.text, c.at, got, c.want)
		}
		code.Destroy()
	}
	for _, bad := range []string{"", "not base32!", "otpauth://hotp/x?secret=" + sha1, "otpauth://totp/x?algorithm=MD5&secret=" + sha1} {
		seed, _ := secret.From([]byte(bad))
		if _, err := Code(seed, time.Unix(0, 0)); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%q: %v", bad, err)
		}
		seed.Destroy()
	}
}

func FuzzOpen(f *testing.F) {
	b := newBench(f)
	b.add("1", 1, "x", fields{"login": b.sealed(map[string]string{"password": "pw"})})
	f.Add(b.raw())
	f.Add([]byte(`{"ciphers":[{"id":1,"type":"x"},null]}`))
	f.Add([]byte(`{"ciphers":[{}],"folders":null,"profile":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := Open(raw, b.user)
		if err != nil {
			return
		}
		defer v.Destroy()
		for _, k := range v.Keys() {
			if p, err := v.LookKey(k.Name); err == nil {
				p.Destroy()
			}
		}
	})
}

// BenchmarkOpen is a vault of 5,000 items with keys of their own.
func BenchmarkOpen(b *testing.B) {
	n := newBench(b)
	for i := range 5000 {
		n.add(fmt.Sprint("id-", i), 1, fmt.Sprint("item ", i), fields{
			"login": n.sealed(map[string]string{"username": "user", "password": "a password", "uri": "https://example.test/"}), "notes": n.seal(strings.Repeat("notes ", 100)),
		})
	}
	raw := n.raw()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		v, err := Open(raw, n.user)
		if err != nil {
			b.Fatal(err)
		}
		v.Destroy()
	}
}
