package bwserver

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// A hub is one client that is told of changes.
type hub struct {
	account  *Account
	messages chan []byte
}

// serveHub speaks to one client (SignalR, MessagePack).
func (s *Server) serveHub(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	g := s.tokens[r.URL.Query().Get("access_token")]
	s.mu.Unlock()
	if g == nil {
		w.WriteHeader(401)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := r.Context()
	if _, greeting, err := conn.Read(ctx); err != nil || string(greeting) != "{\"protocol\":\"messagepack\",\"version\":1}\x1e" {
		return
	}
	if conn.Write(ctx, websocket.MessageBinary, []byte("{}\x1e")) != nil {
		return
	}
	h := &hub{g.account, make(chan []byte, 64)}
	s.mu.Lock()
	s.hubs[h] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.hubs, h)
		s.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(ctx)
	go func() { // pings, which say nothing
		defer cancel()
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	}()
	h.talk(ctx, conn)
	cancel()
}

func (h *hub) talk(ctx context.Context, conn *websocket.Conn) {
	ping := time.NewTicker(15 * time.Second)
	defer ping.Stop()
	for {
		m := []byte{2, 0x91, 6}
		select {
		case <-ctx.Done():
			return
		case <-ping.C:
		case m = <-h.messages:
		}
		if m == nil || conn.Write(ctx, websocket.MessageBinary, m) != nil {
			return
		}
	}
}

// Listeners is how many clients are told of changes.
func (s *Server) Listeners() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hubs)
}

// Logout tells the clients of an account that their session is over.
func (s *Server) Logout(a *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endSessions(a)
	s.push(a, 11, a.ID)
}

// push tells the clients of an account. It is called with mu held.
func (s *Server) push(a *Account, kind byte, id string) {
	m := append([]byte("\x95\x01\x80\xc0\xaeReceiveMessage\x91\x83\xa9ContextId\xc0\xa4Type"), kind)
	m = append(m, "\xa7Payload\x81\xa2Id\xd9"...)
	m = append(append(m, byte(len(id))), id...)
	m = append([]byte{byte(len(m))}, m...)
	if len(m) > 128 {
		panic("a length of more than one byte")
	}
	for h := range s.hubs {
		if h.account == a {
			select {
			case h.messages <- m:
			default:
			}
		}
	}
}
