package vault_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// An event as the documentation has it (concepts/events).
const anEvent = `{"id":"901f6388","source":"vault://node","specversion":"1.0","type":"*","data":{"event":{"id":"901f6388","metadata":{` +
	`"current_version":"2","data_path":"secret/data/PATH","modified":"true","oldest_version":"0","operation":"data-write","path":"secret/data/PATH"}},` +
	`"event_type":"kv-v2/data-write","plugin_info":{"mount_class":"secret","mount_path":"secret/","plugin":"kv"}}}`

// TestEvents goes by the documentation: the real server that the tests have does not
// tell of changes. All else is answered by it.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := ready(t)
	events, ended := make(chan string), make(chan struct{})
	var subscribed atomic.Int32
	p := open(t, inFront(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/sys/events/subscribe/") {
			return true
		}
		if r.URL.Path != "/v1/sys/events/subscribe/kv*" || r.URL.Query().Get("json") != "true" || r.Header.Get("X-Vault-Token") == "" {
			t.Errorf("subscribed to %s", r.URL)
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return false
		}
		defer conn.CloseNow()
		subscribed.Add(1)
		ctx := conn.CloseRead(r.Context())
		for {
			select {
			case <-ctx.Done():
				close(ended)
				return false
			case path := <-events:
				if err := conn.Write(ctx, websocket.MessageText, []byte(strings.ReplaceAll(anEvent, "PATH", path))); err != nil {
					t.Error(err)
				}
			}
		}
	}), byToken, asRoot())
	told := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.told
	}
	p.reads(theKey, theValue)
	eventually(t, "it subscribes", func() bool { return subscribed.Load() == 1 })
	events <- "of/somebody/else"
	time.Sleep(1200 * time.Millisecond)
	if n := told(); n != 0 {
		t.Errorf("told %d times of what nobody has read", n)
	}
	events <- "app"
	eventually(t, "the change is told", func() bool { return told() == 1 })
	must(t, p.Close())
	<-ended
}

// TestNoEvents: a server that tells of nothing is asked for that once.
func TestNoEvents(t *testing.T) {
	t.Parallel()
	s := ready(t)
	var asked atomic.Int32
	p := open(t, inFront(t, s, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v1/sys/events/") {
			asked.Add(1)
		}
		return true
	}), byToken, asRoot())
	p.reads(theKey, theValue)
	time.Sleep(7 * time.Second)
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
