package bwserver

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"
)

func (s *Server) vaultRoutes() {
	m := s.mux
	m.HandleFunc("GET /api/accounts/revision-date", s.as(func(w http.ResponseWriter, r *http.Request, a *Account) {
		reply(w, 200, a.revision)
	}))
	m.HandleFunc("GET /api/accounts/profile", s.as(func(w http.ResponseWriter, r *http.Request, a *Account) {
		reply(w, 200, a.profile())
	}))
	m.HandleFunc("GET /api/sync", s.as(s.sync))
	m.HandleFunc("POST /api/ciphers", s.as(s.createCipher))
	m.HandleFunc("POST /api/ciphers/create", s.as(s.createCipher))
	m.HandleFunc("GET /api/ciphers/{id}", s.as(s.getCipher))
	m.HandleFunc("PUT /api/ciphers/{id}", s.as(s.putCipher))
	m.HandleFunc("PUT /api/ciphers/{id}/delete", s.as(s.trashCipher))
	m.HandleFunc("DELETE /api/ciphers/{id}", s.as(s.deleteCipher))
	m.HandleFunc("POST /api/folders", s.as(s.createFolder))
}

func (s *Server) sync(w http.ResponseWriter, r *http.Request, a *Account) {
	ciphers := make([]object, 0, len(a.order))
	for _, id := range a.order {
		if c := a.ciphers[id]; c != nil {
			ciphers = append(ciphers, c)
		}
	}
	body := object{
		"object": "sync", "profile": a.profile(), "folders": orEmpty(a.folders), "collections": orEmpty(a.collections),
		"ciphers": ciphers, "policies": []any{}, "sends": []any{}, "domains": nil,
	}
	if !a.Plain && !a.NoPassword {
		body["userDecryption"] = object{"userKeyId": a.KeyID, "masterPasswordUnlock": object{
			"kdf": a.kdfSettings(), "masterKeyEncryptedUserKey": a.WrappedKey, "masterKeyWrappedUserKey": a.WrappedKey, "salt": a.Email,
		}}
	}
	reply(w, 200, body)
}

func orEmpty(list []object) []object {
	if list == nil {
		return []object{}
	}
	return list
}

// keep stores a cipher as it was sent, with what a server adds. It is called
// with mu held.
func (s *Server) keep(a *Account, c object, collections any) object {
	delete(c, "attachments") // which are sent for other reasons, and stored apart
	delete(c, "attachments2")
	id, _ := c["id"].(string)
	if id == "" {
		id = newID()
		a.order = append(a.order, id)
		c["creationDate"] = now()
	} else {
		for key, value := range a.ciphers[id] {
			if _, sent := c[key]; !sent {
				c[key] = value
			}
		}
	}
	if collections != nil {
		c["collectionIds"] = collections
	}
	maps.Copy(c, object{
		"object": "cipherDetails", "id": id, "revisionDate": now(), "deletedDate": nil, "edit": true, "viewPassword": true,
		"organizationUseTotp": true, "permissions": object{"delete": true, "restore": true}, "archivedDate": nil,
	})
	if c["collectionIds"] == nil {
		c["collectionIds"] = []any{}
	}
	a.ciphers[id] = c
	a.touch()
	s.push(a, 1, id)
	return c
}

func (s *Server) createCipher(w http.ResponseWriter, r *http.Request, a *Account) {
	var q object
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		fail(w, 400, "not JSON")
		return
	}
	if inner, ok := q["cipher"].(object); ok { // into collections
		reply(w, 200, s.keep(a, inner, q["collectionIds"]))
		return
	}
	reply(w, 200, s.keep(a, q, nil))
}

func (s *Server) getCipher(w http.ResponseWriter, r *http.Request, a *Account) {
	if c := a.ciphers[r.PathValue("id")]; c != nil {
		reply(w, 200, c)
		return
	}
	fail(w, 404, "Resource not found.")
}

func (s *Server) putCipher(w http.ResponseWriter, r *http.Request, a *Account) {
	var c object
	id := r.PathValue("id")
	if json.NewDecoder(r.Body).Decode(&c) != nil || a.ciphers[id] == nil {
		fail(w, 404, "Resource not found.")
		return
	}
	c["id"] = id
	reply(w, 200, s.keep(a, c, nil))
}

func (s *Server) trashCipher(w http.ResponseWriter, r *http.Request, a *Account) {
	if c := a.ciphers[r.PathValue("id")]; c != nil {
		c["deletedDate"] = now()
		a.touch()
		s.push(a, 0, r.PathValue("id"))
	}
}

func (s *Server) deleteCipher(w http.ResponseWriter, r *http.Request, a *Account) {
	delete(a.ciphers, r.PathValue("id"))
	a.touch()
	s.push(a, 9, r.PathValue("id"))
}

func (s *Server) createFolder(w http.ResponseWriter, r *http.Request, a *Account) {
	var f object
	json.NewDecoder(r.Body).Decode(&f)
	maps.Copy(f, object{"object": "folder", "id": newID(), "revisionDate": now()})
	a.folders = append(a.folders, f)
	a.touch()
	reply(w, 200, f)
}

// Edit changes what a server has stored of an item; f is given the item as it is
// in a sync answer.
func (s *Server) Edit(t testing.TB, a *Account, id string, f func(cipher map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := a.ciphers[id]
	if c == nil {
		t.Fatal(fmt.Errorf("there is no cipher %s", id))
	}
	f(c)
	a.touch()
	s.push(a, 0, id)
}

// Add stores an item as a client has encrypted it, and gives its id.
func (s *Server) Add(a *Account, cipher map[string]any) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep(a, cipher, nil)["id"].(string)
}

// AddFolder stores a folder with an encrypted name, and gives its id.
func (s *Server) AddFolder(a *Account, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := newID()
	a.folders = append(a.folders, object{"object": "folder", "id": id, "name": name, "revisionDate": now()})
	a.touch()
	return id
}

// Trash puts an item into the trash.
func (s *Server) Trash(a *Account, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.ciphers[id]["deletedDate"] = now()
	a.touch()
}
