package bwstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ServeHTTP answers below /identity and /api, as a server of one's own does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.count("all")
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	if s.Fault != nil && s.Fault(w, r) {
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Server) count(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[kind]++
}

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("POST /identity/connect/token", s.login)
	handle := func(pattern string, f func(r *http.Request, body []byte) (any, int)) {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if in, ok := s.sessions[token]; !ok || s.now().After(in.ends) || s.accounts[in.account] == nil {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || r.PathValue("org") != "" && r.PathValue("org") != s.organization {
				answer(w, notFound, http.StatusNotFound)
				return
			}
			reply, status := f(r, body)
			answer(w, reply, status)
		})
	}
	handle("GET /api/organizations/{org}/secrets/sync", s.sync)
	handle("GET /api/organizations/{org}/secrets", s.list)
	handle("POST /api/organizations/{org}/secrets", s.create)
	handle("GET /api/secrets/{id}", s.get)
	handle("PUT /api/secrets/{id}", s.update)
	handle("POST /api/secrets/get-by-ids", s.getMany)
	handle("POST /api/secrets/delete", s.remove)
	handle("GET /api/organizations/{org}/projects", s.listProjects)
	handle("POST /api/organizations/{org}/projects", s.createProject)
	handle("GET /api/projects/{id}", s.getProject)
}

func answer(w http.ResponseWriter, reply any, status int) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply) // else the client is gone
}

type failure struct {
	Message string `json:"message"`
	Object  string `json:"object"`
}

var (
	notFound = failure{"Resource not found.", "error"}
	badBody  = failure{"The model state is invalid.", "error"}
)

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen["login"]++
	a := s.accounts[r.PostFormValue("client_id")]
	if a == nil || a.secret != r.PostFormValue("client_secret") || r.PostFormValue("scope") != "api.secrets" ||
		r.PostFormValue("grant_type") != "client_credentials" || r.Header.Get("Device-Type") == "" {
		answer(w, map[string]string{"error": "invalid_client"}, http.StatusBadRequest)
		return
	}
	life := s.Life
	if life == 0 {
		life = time.Hour
	}
	ends := s.now().Add(life)
	claims, err := json.Marshal(map[string]any{
		"exp": ends.Unix(), "nbf": s.now().Unix(), "iss": "test", "sub": a.subject, "organization": s.organization, "scope": []string{"api.secrets"},
		"client_id": r.PostFormValue("client_id"), "jti": uuid(), "type": "ServiceAccount",
	})
	if err != nil {
		panic(err)
	}
	e := base64.RawURLEncoding.EncodeToString
	jwt := e([]byte(`{"alg":"RS256","typ":"at+jwt"}`)) + "." + e(claims) + "." + e(random(256))
	s.sessions[jwt] = session{account: r.PostFormValue("client_id"), ends: ends}
	answer(w, map[string]any{
		"access_token": jwt, "expires_in": int(life.Seconds()), "token_type": "Bearer", "scope": "api.secrets", "encrypted_payload": a.payload,
	}, http.StatusOK)
}

// readable is called with mu held, as all below.
func (s *Server) readable() []*Secret {
	return slices.DeleteFunc(slices.Clone(s.secrets), func(it *Secret) bool { return s.hidden[it.ID] })
}

func (s *Server) sync(r *http.Request, _ []byte) (any, int) {
	s.seen["sync"]++
	if text := r.URL.Query().Get("lastSyncedDate"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil || since.After(s.now()) {
			return failure{"Last synced date must be in the past.", "error"}, http.StatusBadRequest
		}
		if since.After(s.revised) {
			return map[string]any{"object": "secretsSync", "hasChanges": false, "secrets": nil}, http.StatusOK
		}
	}
	s.seen["whole"]++
	return map[string]any{"object": "secretsSync", "hasChanges": true, "secrets": map[string]any{"object": "list", "data": s.readable()}}, http.StatusOK
}

func (s *Server) list(*http.Request, []byte) (any, int) {
	return map[string]any{"object": "SecretsWithProjectsList", "secrets": s.readable(), "projects": s.projects}, http.StatusOK
}

func (s *Server) find(id string) *Secret {
	for _, it := range s.readable() {
		if strings.EqualFold(it.ID, id) {
			return it
		}
	}
	return nil
}

func (s *Server) get(r *http.Request, _ []byte) (any, int) {
	if it := s.find(r.PathValue("id")); it != nil {
		return it, http.StatusOK
	}
	return notFound, http.StatusNotFound
}

func (s *Server) getMany(_ *http.Request, body []byte) (any, int) {
	var want struct{ IDs []string }
	if json.Unmarshal(body, &want) != nil {
		return badBody, http.StatusBadRequest
	}
	found := []*Secret{}
	for _, id := range want.IDs {
		it := s.find(id)
		if it == nil {
			return notFound, http.StatusNotFound
		}
		found = append(found, it)
	}
	return map[string]any{"object": "list", "data": found, "continuationToken": nil}, http.StatusOK
}

type written struct {
	Key, Value, Note string
	ProjectIDs       []string
}

func (w *written) read(body []byte) error {
	if err := json.Unmarshal(body, w); err != nil {
		return err
	}
	for _, text := range []string{w.Key, w.Value, w.Note} { // the real one refuses plaintext too
		if !strings.HasPrefix(text, "2.") || strings.Count(text, "|") != 2 {
			return fmt.Errorf("not an encrypted string")
		}
	}
	return nil
}

func (s *Server) create(_ *http.Request, body []byte) (any, int) {
	var w written
	if w.read(body) != nil || len(w.ProjectIDs) > 1 {
		return badBody, http.StatusBadRequest
	}
	return s.addSecret(w.Key, w.Value, w.Note, strings.Join(w.ProjectIDs, "")), http.StatusOK
}

func (s *Server) update(r *http.Request, body []byte) (any, int) {
	var w written
	it := s.find(r.PathValue("id"))
	switch {
	case it == nil:
		return notFound, http.StatusNotFound
	case w.read(body) != nil:
		return badBody, http.StatusBadRequest
	}
	it.Key, it.Value, it.Note, it.Revised = w.Key, w.Value, w.Note, s.now()
	it.Projects = s.projectsOf(strings.Join(w.ProjectIDs, ""))
	s.revised = s.now()
	return it, http.StatusOK
}

func (s *Server) remove(_ *http.Request, body []byte) (any, int) {
	var ids []string
	if json.Unmarshal(body, &ids) != nil {
		return badBody, http.StatusBadRequest
	}
	data := []map[string]any{}
	for _, id := range ids {
		s.secrets = slices.DeleteFunc(s.secrets, func(it *Secret) bool { return strings.EqualFold(it.ID, id) })
		data = append(data, map[string]any{"id": id, "error": nil})
	}
	s.revised = s.now()
	return map[string]any{"object": "list", "data": data}, http.StatusOK
}

func (s *Server) addSecret(key, value, note, project string) *Secret {
	now := s.now()
	it := &Secret{
		ID: uuid(), Organization: s.organization, Key: key, Value: value, Note: note, Created: now, Revised: now,
		Projects: s.projectsOf(project), Read: true, Write: true,
	}
	s.secrets = append(s.secrets, it)
	s.revised = now
	return it
}

func (s *Server) projectsOf(id string) []Project {
	for _, p := range s.projects {
		if strings.EqualFold(p.ID, id) {
			return []Project{*p}
		}
	}
	return []Project{}
}

func (s *Server) addProject(name string) *Project {
	now := s.now()
	p := &Project{ID: uuid(), Organization: s.organization, Name: name, Created: now, Revised: now, Read: true, Write: true}
	s.projects = append(s.projects, p)
	return p
}

func (s *Server) listProjects(*http.Request, []byte) (any, int) {
	return map[string]any{"object": "list", "data": s.projects}, http.StatusOK
}

func (s *Server) createProject(_ *http.Request, body []byte) (any, int) {
	var w struct{ Name string }
	if json.Unmarshal(body, &w) != nil || !strings.HasPrefix(w.Name, "2.") {
		return badBody, http.StatusBadRequest
	}
	return s.addProject(w.Name), http.StatusOK
}

func (s *Server) getProject(r *http.Request, _ []byte) (any, int) {
	for _, p := range s.projects {
		if strings.EqualFold(p.ID, r.PathValue("id")) {
			return p, http.StatusOK
		}
	}
	return notFound, http.StatusNotFound
}
