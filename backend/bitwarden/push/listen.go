package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// pingEvery keeps the server from dropping a client that says nothing.
	pingEvery = 15 * time.Second
	// silence is how long a server may say nothing: it pings too.
	silence    = 60 * time.Second
	greetTime  = 15 * time.Second
	maxMessage = 256 << 10 // bytes
)

var (
	hello = []byte("{\"protocol\":\"messagepack\",\"version\":1}\x1e")
	ping  = []byte{2, 0x91, 6}
)

// A Hub is where to listen.
type Hub struct {
	Base   string // the notification service, https://…
	Client *http.Client
	Header http.Header
	// Connected is called once it listens: what happened before is not told.
	Connected func()
	// Heard is called with each event other than Nothing.
	Heard func(Event)
}

// Listen tells of what happens until the connection or ctx ends, which it says why.
// access is shown once, as the clients do: in the address, of which a copy is on
// the heap for that time.
func (h *Hub) Listen(ctx context.Context, access *secret.Value) error {
	greetCtx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	address := h.Base + "/hub?access_token=" + url.QueryEscape(string(access.Bytes()))
	conn, resp, err := websocket.Dial(greetCtx, address, &websocket.DialOptions{HTTPClient: h.Client, HTTPHeader: h.Header})
	switch {
	case resp != nil && err != nil:
		return fmt.Errorf("listening at %s/hub: the server answers with status %d: %w", h.Base, resp.StatusCode, backend.ErrUnavailable)
	case err != nil: // which may quote the address
		return fmt.Errorf("listening at %s/hub: no connection: %w", h.Base, backend.ErrUnavailable)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	if err := h.greet(greetCtx, conn); err != nil {
		return fmt.Errorf("listening at %s/hub: %w", h.Base, err)
	}
	h.Connected()
	stop := h.pinging(ctx, conn)
	defer stop()
	return fmt.Errorf("listening at %s/hub: %w", h.Base, h.hear(ctx, conn))
}

// greet agrees on the protocol.
func (h *Hub) greet(ctx context.Context, conn *websocket.Conn) error {
	if err := conn.Write(ctx, websocket.MessageText, hello); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if len(answer) < 3 || string(answer[:2]) != "{}" {
		return errors.New("the server does not speak SignalR's messagepack")
	}
	return nil
}

func (h *Hub) pinging(ctx context.Context, conn *websocket.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(pingEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if conn.Write(ctx, websocket.MessageBinary, ping) != nil {
				conn.CloseNow()
				return
			}
		}
	}()
	return cancel
}

func (h *Hub) hear(ctx context.Context, conn *websocket.Conn) error {
	for {
		waitCtx, cancel := context.WithTimeout(ctx, silence)
		_, b, err := conn.Read(waitCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		messages, ok := frames(b)
		if !ok {
			return errors.New("the server says something that is not understood")
		}
		for _, m := range messages {
			e, over := read(m)
			if e != Nothing {
				h.Heard(e)
			}
			if over {
				return errors.New("the server has closed the connection")
			}
		}
	}
}
