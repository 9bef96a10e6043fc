package kernel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/tests/bwserver"
	"github.com/secretfs/secretfs/tests/harness"
)

// A locker is a mount of a Bitwarden vault, and Bitwarden's own command line client
// for the same account.
type locker struct {
	*harness.Mount
	t       *testing.T
	server  *bwserver.Server
	account *bwserver.Account
	data    string // of bw
	session string
	api     string // of bw serve
	org     string
	col     string
}

const (
	bwEmail    = "me@example.test"
	bwPassword = "correct horse battery staple"
)

var (
	orgKey  = []byte(strings.Repeat("organization key", 4))
	userKey = []byte(strings.Repeat("key of a account", 4))
)

func newLocker(t *testing.T, p kdf.Params) *locker {
	t.Helper()
	l := emptyLocker(t, p)
	l.org, l.col = l.server.Found(t, l.account, "Example Inc", "Servers", orgKey)
	l.bw("config", "server", l.server.URL)
	l.session = l.bw("login", bwEmail, bwPassword, "--raw")
	l.serve()
	return l
}

// emptyLocker has no client.
func emptyLocker(t *testing.T, p kdf.Params) *locker {
	t.Helper()
	l := &locker{t: t, server: bwserver.New(t), data: t.TempDir()}
	l.account = l.server.RegisterWith(t, bwEmail, bwPassword, p, userKey)
	return l
}

// put stores a login as a client has encrypted it.
func (l *locker) put(name, password string) (id string) {
	seal := func(s string) string { return bwserver.Seal(l.t, userKey, []byte(s)) }
	return l.server.Add(l.account, map[string]any{"type": 1, "name": seal(name), "login": map[string]any{"password": seal(password)}})
}

// bw has Bitwarden's client do something, and gives what it prints.
func (l *locker) bw(args ...string) string {
	l.t.Helper()
	cmd := l.client(args...)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("bw %s: %v\n%s%s\nthe server was asked: %q", args[0], err, out, problems.String(), l.server.Requests())
	}
	return strings.TrimSpace(string(out))
}

func (l *locker) client(args ...string) *exec.Cmd {
	cmd := exec.Command(harness.BitwardenCLI(l.t), args...)
	cmd.Env = append(os.Environ(), "BITWARDENCLI_APPDATA_DIR="+l.data, "BW_NOINTERACTION=true", "BW_SESSION="+l.session,
		"NODE_EXTRA_CA_CERTS="+l.server.CAFile)
	return cmd
}

// serve has the client take requests, since it takes seconds to start.
func (l *locker) serve() {
	l.t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	address := port.Addr().(*net.TCPAddr)
	port.Close()
	cmd := l.client("serve", "--hostname", "127.0.0.1", "--port", fmt.Sprint(address.Port))
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	l.api = "http://" + address.String()
	harness.Eventually(l.t, "bw to serve", func() bool {
		resp, err := http.Get(l.api + "/status")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	})
}

// ask puts a request to the client, and gives the id, or else the text, in its answer.
func (l *locker) ask(method, path, kind string, body []byte) string {
	l.t.Helper()
	r, err := http.NewRequest(method, l.api+path, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Success bool
		Message string
		Data    struct{ ID, Data string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || !answer.Success {
		l.t.Fatalf("bw: %s %s: %+v, %v; the server was asked: %q", method, path, answer, err, l.server.Requests())
	}
	return answer.Data.ID + answer.Data.Data
}

// create has the client make something, and gives its id.
func (l *locker) create(what string, item map[string]any) string {
	l.t.Helper()
	return l.ask("POST", "/object/"+what, "application/json", l.json(item))
}

func (l *locker) json(item map[string]any) []byte {
	l.t.Helper()
	text, err := json.Marshal(item)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// attach has the client attach a file to an item.
func (l *locker) attach(id, name, content string) {
	l.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = file.Write([]byte(content))
	}
	if err = errors.Join(err, form.Close()); err != nil {
		l.t.Fatal(err)
	}
	l.ask("POST", "/attachment?itemid="+id, form.FormDataContentType(), body.Bytes())
}

// mount mounts with an API key.
func (l *locker) mount(policy string) {
	l.t.Helper()
	l.Mount = harness.New(l.t, harness.Options{
		Plain: "a: b\n", NoMount: true, Policy: "state: state\n" + policy,
		Head: "backends:\n  bw: {type: bitwarden, server: '" + l.server.URL + "', ca_file: '" + l.server.CAFile +
			"', client_id: {file: bw.env, key: BW_CLIENTID}, client_secret: {file: bw.env, key: BW_CLIENTSECRET}, password: {file: bw.env, key: BW_PASSWORD}, ttl: 1s}\n",
	})
	l.credentials(bwPassword)
	l.Mount.Mount()
}

func (l *locker) credentials(password string) {
	l.t.Helper()
	text := "BW_CLIENTID=" + l.account.ClientID() + "\nBW_CLIENTSECRET=" + l.account.ClientSecret + "\nBW_PASSWORD=" + password + "\n"
	if err := os.WriteFile(l.Root+"/bw.env", []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// What bw writes is what is read through a real mount.
func TestBitwarden(t *testing.T) {
	l := newLocker(t, kdf.Params{Type: kdf.Argon2id, Iterations: 3, Memory: 32, Parallelism: 2})
	folder := l.create("folder", map[string]any{"name": "Work"})
	login := func(name, user, password string) map[string]any {
		return map[string]any{
			"type": 1, "name": name, "notes": "notes of " + name, "folderId": folder,
			"login": map[string]any{
				"username": user, "password": password, "totp": "JBSWY3DPEHPK3PXP",
				"uris": []any{map[string]any{"uri": "https://" + user + ".example.test/login"}},
			},
			"fields": []any{
				map[string]any{"name": "API key", "value": "key-of-" + user, "type": 1},
				map[string]any{"name": "enabled", "value": "true", "type": 2},
			},
		}
	}
	mail := l.create("item", login("Mail", "alice", "first-password-of-alice"))
	l.create("item", login("Mail", "bob", "first-password-of-bob"))
	l.create("item", map[string]any{"type": 2, "name": "License ü", "notes": "line one\nline two\n", "secureNote": map[string]any{"type": 0}})
	l.create("item", map[string]any{"type": 3, "name": "Visa", "card": map[string]any{"number": "4111111111111111", "code": "123", "expMonth": "4"}})
	l.create("item", map[string]any{"type": 4, "name": "Me", "identity": map[string]any{"firstName": "Alice", "ssn": "078-05-1120"}})
	shared := login("Database", "dba", "password-of-the-database")
	shared["organizationId"], shared["collectionIds"], shared["folderId"] = l.org, []any{l.col}, nil
	l.create("item", shared)
	content := strings.Repeat("content of an attachment\n", 20000)
	l.attach(mail, "server.key", content)

	l.mount(`secrets:
  alice: {backend: bw, item: mail, user: ALICE}
  bob: {backend: bw, item: Mail, uri: bob.example.test}
  alice-key: {backend: bw, item: ` + mail + `, field: api key}
  enabled: {backend: bw, item: Mail, user: bob, field: enabled}
  notes: {backend: bw, item: Mail, user: bob, field: notes}
  code: {backend: bw, item: Mail, user: bob, field: totp}
  seed: {backend: bw, item: Mail, user: bob, field: totp_secret}
  License ü: {backend: bw}
  by-substring: {backend: bw, name: icense, type: note}
  visa: {backend: bw, item: Visa, field: exp_month}
  number: {backend: bw, item: Visa}
  ssn: {backend: bw, item: Me, field: ssn}
  db: {backend: bw, item: Database, organization: example inc, collection: servers}
  key: {backend: bw, item: Mail, user: alice, attachment: server.key}
  twice: {backend: bw, item: Mail}
directories:
  work: {backend: bw, folder: Work}
  all: {backend: bw}
`)
	for name, want := range map[string]string{
		"alice": "first-password-of-alice", "bob": "first-password-of-bob", "alice-key": "key-of-alice", "enabled": "true",
		"notes": "notes of Mail", "seed": "JBSWY3DPEHPK3PXP", "License ü": "line one\nline two\n", "by-substring": "line one\nline two\n",
		"visa": "4", "number": "4111111111111111", "ssn": "078-05-1120", "db": "password-of-the-database", "key": content,
		"all/collections/Servers/Database": "password-of-the-database", "all/items/Visa": "4111111111111111",
	} {
		if got := l.Read(name); got != want {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(want))
		}
	}
	theirs := func() string { return l.ask("GET", "/object/totp/"+mail, "", nil) }
	if got, want := l.Read("code"), theirs(); got != want && got != theirs() {
		t.Errorf("code %q, bw says %q", got, want)
	}
	l.refuses("twice", unix.EOPNOTSUPP, "2 items are called \"Mail\"")
	entries, err := os.ReadDir(l.Path("work"))
	if err != nil || len(entries) != 2 {
		t.Errorf("work: %v, %v", entries, err)
	}

	before := l.version("alice-key")
	l.ask("PUT", "/object/item/"+mail, "application/json", l.json(login("Mail", "alice", "second-password-of-alice")))
	harness.Eventually(t, "the new value", func() bool { return l.Read("alice") == "second-password-of-alice" })
	if got := l.Read("alice-key"); got != "key-of-alice" || l.version("alice-key") != before {
		t.Errorf("what was not edited is %q, version %q, it was %q", got, l.version("alice-key"), before)
	}
	if n := l.server.Logins(); n != 2 { // one is bw's
		t.Errorf("%d logins", n)
	}
}

// version is that of a secret, as status has it.
func (l *locker) version(path string) string {
	l.t.Helper()
	for _, s := range l.Status().Secrets {
		if s.Path == path {
			return s.Version
		}
	}
	l.t.Fatalf("%s has no status", path)
	return ""
}

func (l *locker) refuses(name string, errno error, text string) {
	l.t.Helper()
	m := manager{Mount: l.Mount, t: l.t}
	m.refuses(name, errno, text)
}

// Neither a worker's death nor a new mount costs a login, and without its server
// each serves what there was.
func TestBitwardenGoesOn(t *testing.T) {
	l := emptyLocker(t, kdf.Params{Type: kdf.Argon2id, Iterations: 2, Memory: 64, Parallelism: 2})
	id := l.put("db", "value-of-the-database")
	l.mount("secrets:\n  db: {backend: bw}\n")
	read := func() {
		t.Helper()
		if got := l.Read("db"); got != "value-of-the-database" {
			t.Errorf("got %q", got)
		}
	}
	read()
	l.KillWorker()
	read()
	harness.Eventually(t, "a copy on the disk", func() bool {
		files, _ := os.ReadDir(l.Root + "/state/bw")
		return len(files) == 2
	})
	l.server.Stop()
	l.KillWorker()
	read()
	l.Unmount()
	l.Mount.Mount()
	read()
	l.Unmount()
	l.server.Restart(t)
	l.Mount.Mount()
	read()
	if n := l.server.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	out, err := exec.Command("grep", "-rlaE", "--exclude-dir=mnt", "value-of-the-database|eyJhbGciOi", l.Root).Output()
	if len(out) > 0 || err == nil {
		t.Errorf("plaintext or a token in %s", out)
	}

	harness.Eventually(t, "a listener", func() bool { return l.server.Listeners() == 1 })
	l.server.Edit(t, l.account, id, func(c map[string]any) {
		c["login"].(map[string]any)["password"] = bwserver.Seal(t, userKey, []byte("pushed"))
	})
	harness.Eventually(t, "the new value", func() bool { return l.Read("db") == "pushed" })
}

// Each cause has an errno and a sentence, and mending it is enough.
func TestBitwardenFaults(t *testing.T) {
	l := emptyLocker(t, kdf.Params{Type: kdf.PBKDF2, Iterations: 600000})
	l.put("db", "value-of-the-database")
	l.put("twice", "1")
	l.put("Twice", "2")
	damaged := l.put("damaged", "x")
	l.server.Edit(t, l.account, damaged, func(c map[string]any) {
		c["login"].(map[string]any)["password"] = bwserver.Seal(t, orgKey, []byte("x"))
	})
	l.mount("secrets:\n  db: {backend: bw}\n  TWICE: {backend: bw}\n  damaged: {backend: bw}\n  absent: {backend: bw}\n  field: {backend: bw, item: db, field: nope}\n")
	l.credentials("wrong")
	l.refuses("db", unix.EKEYREJECTED, "the master password does not open the account's key")
	l.credentials(bwPassword)
	if got := l.Read("db"); got != "value-of-the-database" {
		t.Errorf("got %q", got)
	}
	l.refuses("TWICE", unix.EOPNOTSUPP, "2 items are called")
	l.refuses("damaged", unix.EBADMSG, "MAC does not fit")
	l.refuses("field", unix.ENOENT, "no field \"nope\"; it has password")
	if _, err := os.ReadFile(l.Path("absent")); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	l.Must("lock", "bw")
	l.refuses("db", unix.ENOKEY, "secretfs unlock bw")
	l.Must("unlock", "bw")
	if got := l.Read("db"); got != "value-of-the-database" {
		t.Errorf("got %q", got)
	}
	run(t, "", harness.Program(t), "check", "--policy", l.Policy) // asks no server
}

// A vault of 5,000 items is read at once, and is not much memory.
func TestBitwardenLarge(t *testing.T) {
	l := emptyLocker(t, kdf.Params{Type: kdf.PBKDF2, Iterations: 5000})
	seal := func(key []byte, s string) string { return bwserver.Seal(t, key, []byte(s)) }
	for i := range 5000 {
		key := []byte(strings.Repeat(fmt.Sprintf("%08d", i), 8))
		l.server.Add(l.account, map[string]any{
			"type": 1, "name": seal(key, fmt.Sprint("item ", i)), "key": seal(userKey, string(key)), "notes": seal(key, strings.Repeat("notes ", 50)),
			"login": map[string]any{
				"username": seal(key, "someone@example.test"), "password": seal(key, fmt.Sprint("password-", i)),
				"uris": []any{map[string]any{"uri": seal(key, "https://example.test/login"), "match": nil}},
			},
		})
	}
	l.mount("secrets:\n  one: {backend: bw, item: item 1234}\n  two: {backend: bw, item: item 4321}\ndirectories:\n  all: {backend: bw}\n")
	began := time.Now()
	if got := l.Read("one"); got != "password-1234" {
		t.Errorf("got %q", got)
	}
	first := time.Since(began)
	if first > 1500*time.Millisecond {
		t.Errorf("the first read took %v", first)
	}
	began = time.Now()
	if got := l.Read("two"); got != "password-4321" {
		t.Errorf("got %q", got)
	}
	second := time.Since(began)
	began = time.Now()
	entries, err := os.ReadDir(l.Path("all/items"))
	if err != nil || len(entries) != 5000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	listed := time.Since(began)
	rss := resident(t, l.Status().WorkerPID)
	t.Logf("first read %v, second %v, listing %v, worker %d KiB", first, second, listed, rss)
	if rss > 64<<10 {
		t.Errorf("the worker has %d KiB in memory", rss)
	}
}
