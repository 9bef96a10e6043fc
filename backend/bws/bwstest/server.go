// Package bwstest is a server of Bitwarden Secrets Manager for tests. It stores
// what clients send and gives it back; it can decrypt nothing by itself. That it
// speaks the protocol right is shown by Bitwarden's own kit, which is run against
// it (tests/kernel).
package bwstest

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Secret is one as it is stored; texts are encrypted strings.
type Secret struct {
	ID           string    `json:"id"`
	Organization string    `json:"organizationId"`
	Key          string    `json:"key"`
	Value        string    `json:"value"`
	Note         string    `json:"note"`
	Created      time.Time `json:"creationDate"`
	Revised      time.Time `json:"revisionDate"`
	Projects     []Project `json:"projects"`
	Read         bool      `json:"read"`
	Write        bool      `json:"write"`
}

// A Project is one as it is stored.
type Project struct {
	ID           string    `json:"id"`
	Organization string    `json:"organizationId"`
	Name         string    `json:"name"`
	Created      time.Time `json:"creationDate"`
	Revised      time.Time `json:"revisionDate"`
	Read         bool      `json:"read"`
	Write        bool      `json:"write"`
}

// A Server is an http.Handler with one organisation. Its methods are safe for
// concurrent use.
type Server struct {
	// Life is how long a session lasts; an hour if 0. Set it before use.
	Life time.Duration
	// Fault, if it says true, has answered a request itself. Set it before use.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	organization string
	key          *enc.Key
	mux          *http.ServeMux
	ahead        atomic.Int64 // its clock, of ours

	mu       sync.Mutex // guards what follows
	accounts map[string]*account
	sessions map[string]session // by token
	secrets  []*Secret
	projects []*Project
	revised  time.Time // when anything last changed
	hidden   map[string]bool
	seen     map[string]int // requests by kind
}

type account struct{ secret, payload, subject string }

type session struct {
	account string
	ends    time.Time
}

// New makes a server with an empty organisation.
func New() *Server {
	raw, err := secret.From(random(64))
	if err != nil {
		panic(err)
	}
	key, err := enc.NewKey(raw)
	if err != nil {
		panic(err)
	}
	s := &Server{
		organization: uuid(), key: key, accounts: map[string]*account{}, sessions: map[string]session{},
		hidden: map[string]bool{}, seen: map[string]int{},
	}
	s.routes()
	return s
}

// SetClock puts its clock ahead of ours.
func (s *Server) SetClock(ahead time.Duration) { s.ahead.Store(int64(ahead)) }

func (s *Server) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// Organization is its id.
func (s *Server) Organization() string { return s.organization }

// NewToken makes a machine account and an access token for it.
func (s *Server) NewToken() string {
	id, password, raw := uuid(), base64.RawURLEncoding.EncodeToString(random(22)), random(16)
	long, err := hkdf.Key(sha256.New, raw, []byte("bitwarden-accesstoken"), "sm-access-token", 64)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(map[string]string{"encryptionKey": base64.StdEncoding.EncodeToString(s.key.Encoded().Bytes())})
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = &account{secret: password, payload: seal(long, payload), subject: uuid()}
	return fmt.Sprintf("0.%s.%s:%s", id, password, base64.StdEncoding.EncodeToString(raw))
}

func seal(key, plain []byte) string {
	v, err := secret.From(key)
	if err != nil {
		panic(err)
	}
	k, err := enc.NewKey(v)
	if err != nil {
		panic(err)
	}
	defer k.Destroy()
	text, err := k.Seal(plain)
	if err != nil {
		panic(err)
	}
	return text
}

// Revoke makes an access token worthless; its sessions last on, as on the real
// server, unless EndSessions is called.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, token[2:38])
}

// EndSessions makes the tokens of all sessions worthless.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// AddProject is what a client would do.
func (s *Server) AddProject(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addProject(s.sealed(name)).ID
}

// Put is what a client would do: it makes a secret in a project, or none if "".
func (s *Server) Put(project, name, value, note string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addSecret(s.sealed(name), s.sealed(value), s.sealed(note), project).ID
}

// Change is what a client would do: it encrypts everything anew.
func (s *Server) Change(id, name, value, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.secrets {
		if it.ID == id {
			it.Key, it.Value, it.Note, it.Revised = s.sealed(name), s.sealed(value), s.sealed(note), s.now()
		}
	}
	s.revised = s.now()
}

// Damage stores a value that no client has encrypted.
func (s *Server) Damage(id, sealed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.secrets {
		if it.ID == id {
			it.Value = sealed
		}
	}
	s.revised = s.now()
}

// Delete is what a client would do.
func (s *Server) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = slices.DeleteFunc(s.secrets, func(it *Secret) bool { return it.ID == id })
	s.revised = s.now()
}

// Hide takes the permission to read one secret from all machine accounts.
func (s *Server) Hide(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[id], s.revised = true, s.now()
}

// Seen counts requests of a kind: "login", "sync", "whole" for those syncs that were
// answered with everything, "all".
func (s *Server) Seen(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[kind]
}

func (s *Server) sealed(text string) string {
	sealed, err := s.key.Seal([]byte(text))
	if err != nil {
		panic(err)
	}
	return sealed
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func uuid() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
