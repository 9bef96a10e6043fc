// Package vaultd runs real servers for tests: HashiCorp Vault (build.sh builds it), a
// PostgreSQL for it to give out accounts of, and a way to them that can be cut.
package vaultd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Root is the token of a Server's root.
const Root = "root-of-the-tests"

// patience is how long a server may take to start.
const patience = 30 * time.Second

// A Server is a Vault in development mode: in memory, unsealed, with KV version 2 at
// secret/.
type Server struct {
	Address   string // http://127.0.0.1:PORT
	UnsealKey string
	audit     string
}

// Start starts a Server and ends it with the test. config, which may be empty, is
// more of its configuration (HCL), such as another listener.
func Start(t testing.TB, config string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{audit: filepath.Join(dir, "audit.jsonl")}
	listen := FreePort(t)
	args := []string{
		"server", "-dev", "-dev-root-token-id=" + Root, "-dev-listen-address=" + listen, "-dev-no-store-token",
		"-dev-plugin-dir=" + plugins(t, dir),
	}
	if config != "" {
		file := filepath.Join(dir, "more.hcl")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-config="+file)
	}
	cmd := exec.Command(program(t, "vault"), args...)
	cmd.Env = []string{"VAULT_DISABLE_MLOCK=1", "HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")} // plugins leave sockets behind
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	s.run(t, cmd)
	s.Address = "http://" + listen
	s.await(t)
	s.Do(t, "PUT", "sys/audit/file", map[string]any{"type": "file", "options": map[string]string{"file_path": s.audit}})
	return s
}

// run starts the server and reads its unseal key.
func (s *Server) run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	key := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if k, ok := strings.CutPrefix(lines.Text(), "Unseal Key: "); ok {
				key <- k
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its plugins too
		<-done
		_ = cmd.Wait()
	})
	select {
	case s.UnsealKey = <-key:
	case <-done:
		t.Fatal("vault ended at once")
	case <-time.After(patience):
		t.Fatal("vault does not start")
	}
}

func (s *Server) await(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(s.Address + "/v1/sys/health"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("vault does not answer")
		}
	}
}

// Do makes a call as root, which must work, and gives what the server answers.
func (s *Server) Do(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, answer := s.Try(t, Root, method, path, body)
	if status/100 != 2 {
		t.Fatalf("%s %s: status %d: %v", method, path, status, answer["errors"])
	}
	return answer
}

// Try makes a call with a token. A path may end with headers: "path\nName: value".
func (s *Server) Try(t testing.TB, token, method, path string, body any) (status int, answer map[string]any) {
	t.Helper()
	path, headers, _ := strings.Cut(path, "\n")
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, s.Address+"/v1/"+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", token)
	if name, value, ok := strings.Cut(headers, ": "); ok {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer = map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return resp.StatusCode, answer
}

// Token makes a token with policies, and what else is given.
func (s *Server) Token(t testing.TB, more map[string]any, policies ...string) string {
	t.Helper()
	body := map[string]any{"policies": policies}
	for k, v := range more {
		body[k] = v
	}
	return Text(t, s.Do(t, "POST", "auth/token/create", body), "auth", "client_token")
}

// Policy writes a policy: one rule a line, "path capability,capability".
func (s *Server) Policy(t testing.TB, name string, rules ...string) {
	t.Helper()
	var b strings.Builder
	for _, r := range rules {
		path, caps, _ := strings.Cut(r, " ")
		fmt.Fprintf(&b, "path %q { capabilities = [\"%s\"] }\n", path, strings.ReplaceAll(caps, ",", `", "`))
	}
	s.Do(t, "PUT", "sys/policies/acl/"+name, map[string]string{"policy": b.String()})
}

// Text is a text deep in an answer.
func Text(t testing.TB, answer map[string]any, keys ...string) string {
	t.Helper()
	var at any = answer
	for _, k := range keys {
		m, _ := at.(map[string]any)
		at = m[k]
	}
	text, ok := at.(string)
	if !ok {
		t.Fatalf("no text at %v", keys)
	}
	return text
}

// Requests counts the requests to paths that begin with prefix and with none of
// but, by the audit log as it is at one moment.
func (s *Server) Requests(t testing.TB, prefix string, but ...string) (n int) {
	t.Helper()
	log, err := os.ReadFile(s.audit)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		var r struct {
			Type    string
			Request struct{ Path string }
		}
		if json.Unmarshal(line, &r) != nil || r.Type != "request" || !strings.HasPrefix(r.Request.Path, prefix) {
			continue
		}
		if !slices.ContainsFunc(but, func(b string) bool { return strings.HasPrefix(r.Request.Path, b) }) {
			n++
		}
	}
	return n
}

// program is one that build.sh builds.
func program(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("SECRETFS_VAULT")
	if dir == "" {
		dir = filepath.Join(module(t), "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the tests need a real Vault, which takes some minutes to build: make bin/vault (%v)", err)
	}
	return path
}

// module is where go.mod is.
func module(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}

// plugins is a folder with the plugin for PostgreSQL and nothing else: Vault takes
// every file in it for one.
func plugins(t testing.TB, dir string) string {
	t.Helper()
	const name = "postgresql-database-plugin"
	folder := filepath.Join(dir, "plugins")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program(t, name), filepath.Join(folder, name)); err != nil { // no symlinks
		data, err := os.ReadFile(program(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// FreePort is an address of this machine where nothing listens.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
