package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/secretfs/secretfs/backend"
)

// eventsPath is where a server tells of changes of KV secrets, in a WebSocket
// (api-docs, /sys/events). Vault Enterprise has it, others answer 404.
const eventsPath = "sys/events/subscribe/kv*?json=true"

const (
	// settle is how long changes are collected before anybody is told: up to twice
	// as long, since all machines hear of one at the same moment.
	settle = 500 * time.Millisecond
	// deafFor is for how long, at least, a server is not asked again that tells
	// nothing.
	deafFor                    = time.Hour
	minReconnect, maxReconnect = 5 * time.Second, 10 * time.Minute
	pingEvery                  = 30 * time.Second
	dialTime                   = 15 * time.Second
	maxEvent                   = 64 << 10 // bytes
)

// follow has path's changes told, where the server tells of them.
func (b *Backend) follow(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.followed) == 0 && !b.closed {
		b.tending.Go(b.listen)
	}
	b.followed[path] = true
}

// listen hears of changes as long as the backend lives. Polling goes on beside it:
// nobody promises that each is told.
func (b *Backend) listen() {
	pause := minReconnect
	for first := true; ; first = false {
		wait := pause/2 + rand.N(pause/2)
		pause = min(2*pause, maxReconnect)
		if s := b.living(); s != nil {
			connected, err := b.hear(s, first)
			b.cfg.Log.Debug("not told of changes, asking instead", "error", err)
			if connected {
				pause = minReconnect
			}
			if errors.Is(err, errDeaf) {
				wait = deafFor + rand.N(deafFor)
			}
		}
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

var errDeaf = errors.New("the server does not tell of changes, or not this token")

// hear tells of changes until the connection ends, which it says why.
func (b *Backend) hear(s *session, first bool) (connected bool, err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	conn, err := b.dial(ctx, s)
	if err != nil {
		return false, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxEvent)
	go pinging(ctx, conn)
	if !first {
		b.tell() // of what happened meanwhile
	}
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return true, fmt.Errorf("the connection ended: %w", err)
		}
		if b.matters(message) && !b.telling.Swap(true) {
			time.AfterFunc(settle+rand.N(settle), func() {
				b.telling.Store(false)
				b.tell()
			})
		}
	}
}

func (b *Backend) dial(ctx context.Context, s *session) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	token := b.share(s)
	defer token.Destroy()
	r := b.http(token, request{method: http.MethodGet})
	conn, resp, err := websocket.Dial(ctx, r.URL+eventsPath, &websocket.DialOptions{HTTPClient: b.client.HTTP(), HTTPHeader: r.Header})
	switch {
	case err == nil:
		return conn, nil
	case resp == nil:
		return nil, fmt.Errorf("subscribing to events: no connection: %w", backend.ErrUnavailable)
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w (status %d)", errDeaf, resp.StatusCode)
	}
	return nil, fmt.Errorf("subscribing to events: status %d: %w", resp.StatusCode, backend.ErrUnavailable)
}

// pinging finds out that a connection is dead.
func pinging(ctx context.Context, conn *websocket.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(ctx, pingEvery)
		err := conn.Ping(ctx)
		cancel()
		if err != nil {
			_ = conn.CloseNow()
			return
		}
	}
}

// matters says whether an event is of a secret that was read from here. An event holds
// no secret.
func (b *Backend) matters(message []byte) bool {
	var e struct {
		Data struct {
			Event struct {
				Metadata struct {
					Path     string `json:"path"`
					DataPath string `json:"data_path"`
				} `json:"metadata"`
			} `json:"event"`
		} `json:"data"`
	}
	if json.Unmarshal(message, &e) != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := e.Data.Event.Metadata
	return b.followed[of.Path] || b.followed[of.DataPath]
}
