package bwserver

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

func (s *Server) attachmentRoutes() {
	s.mux.HandleFunc("POST /api/ciphers/{id}/attachment/v2", s.as(s.createAttachment))
	s.mux.HandleFunc("POST /api/ciphers/{id}/attachment/{att}", s.as(s.uploadAttachment))
	s.mux.HandleFunc("GET /api/ciphers/{id}/attachment/{att}", s.as(func(w http.ResponseWriter, r *http.Request, a *Account) {
		for _, att := range attachments(a.ciphers[r.PathValue("id")]) {
			if att["id"] == r.PathValue("att") {
				reply(w, 200, att)
				return
			}
		}
		fail(w, 404, "Resource not found.")
	}))
	s.mux.HandleFunc("GET /attachments/{id}/{att}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		blob, ok := s.blobs[r.PathValue("id")+"/"+r.PathValue("att")]
		s.mu.Unlock()
		if !ok || r.Header.Get("Authorization") != "" || r.URL.Query().Get("token") != "short" {
			w.WriteHeader(403)
			return
		}
		w.Write(blob)
	})
}

func attachments(c object) []object {
	list, _ := c["attachments"].([]object)
	return list
}

func (s *Server) createAttachment(w http.ResponseWriter, r *http.Request, a *Account) {
	var q struct {
		Key, FileName string
		FileSize      int64
	}
	c := a.ciphers[r.PathValue("id")]
	if json.NewDecoder(r.Body).Decode(&q) != nil || c == nil {
		fail(w, 404, "Resource not found.")
		return
	}
	id := newID()
	c["attachments"] = append(attachments(c), object{
		"object": "attachment", "id": id, "fileName": q.FileName, "key": q.Key, "size": strconv.FormatInt(q.FileSize, 10),
		"sizeName": "?", "url": s.URL + "/attachments/" + r.PathValue("id") + "/" + id + "?token=short",
	})
	a.touch()
	reply(w, 200, object{
		"object": "attachment-fileUpload", "attachmentId": id, "fileUploadType": 0, "cipherResponse": c, "cipherMiniResponse": nil,
		"url": s.URL + "/api/ciphers/" + r.PathValue("id") + "/attachment/" + id,
	})
}

func (s *Server) uploadAttachment(w http.ResponseWriter, r *http.Request, a *Account) {
	file, _, err := r.FormFile("data")
	if err != nil {
		fail(w, 400, err.Error())
		return
	}
	defer file.Close()
	blob, err := io.ReadAll(file)
	if err != nil {
		fail(w, 400, err.Error())
		return
	}
	s.blobs[r.PathValue("id")+"/"+r.PathValue("att")] = blob
	a.touch()
}

// Attach stores an attachment as a client has encrypted it, and gives its id.
func (s *Server) Attach(a *Account, cipher, name, key string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, id := a.ciphers[cipher], newID()
	c["attachments"] = append(attachments(c), object{
		"object": "attachment", "id": id, "fileName": name, "key": key, "size": strconv.Itoa(len(content)),
		"url": s.URL + "/attachments/" + cipher + "/" + id + "?token=short",
	})
	s.blobs[cipher+"/"+id] = content
	a.touch()
	return id
}
