package bwserver

import (
	"net"
	"net/http"
)

// A hub is one client that is told of changes.
type hub struct{ conn net.Conn }

func (s *Server) serveHub(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }

// push tells the clients of an account. It is called with mu held.
func (s *Server) push(a *Account, kind int, id string) {}
