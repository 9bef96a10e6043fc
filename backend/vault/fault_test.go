package vault_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/tests/vaultd"
)

func TestServerDown(t *testing.T) {
	t.Parallel()
	s := ready(t)
	way := vaultd.Through(t, s.Address)
	way.Cut()
	p := open(t, way.Address, byToken, asRoot())
	p.fails(theKey, backend.ErrUnavailable, "nothing listens on "+strings.TrimPrefix(way.Address, "http://"))
	way.Mend(t)
	p.reads(theKey, theValue)
	way.Cut()
	p.fails(theKey, backend.ErrUnavailable, "nothing listens on")
	way.Mend(t)
	p.reads(theKey, theValue)
	way.Stall(t)
	p.cfg.Timeout = time.Second
	start := time.Now()
	_, err := p.Get(deadline(t, 300*time.Millisecond), key(t, theKey))
	says(t, err, backend.ErrTimeout, "no answer in time")
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	way.Mend(t)
	p.reads(theKey, theValue)
}

func TestSealed(t *testing.T) {
	t.Parallel()
	s := ready(t)
	p := open(t, s.Address, byToken, asRoot())
	p.reads(theKey, theValue)
	s.Do(t, "PUT", "sys/seal", nil)
	p.fails(theKey, backend.ErrUnavailable, "the server is sealed: somebody who holds its unseal keys has to unseal it")
	s.Do(t, "PUT", "sys/unseal", map[string]string{"key": s.UnsealKey})
	eventually(t, "it reads again", func() bool { _, _, err := p.get(theKey); return err == nil })
}

// inFront puts a handler in front of a real server, which may let requests pass.
func inFront(t *testing.T, s *vaultd.Server, h func(w http.ResponseWriter, r *http.Request) (pass bool)) string {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h(w, r) {
			forward(w, r, s.Address)
		}
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// TestAnswers: what may come from a server, a proxy, or a portal before it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := ready(t)
	for name, c := range map[string]struct {
		answer   func(w http.ResponseWriter)
		kind     error
		sentence string
	}{
		"garbage":   {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>Sign in</html>") }, backend.ErrUnavailable, "is this the address of the server, and not of a page before it?"},
		"truncated": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"data":{"data":{"key":"the va`) }, backend.ErrUnavailable, "the answer is not understood (status 200"},
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"data":`)
		}, backend.ErrUnavailable, "the connection was cut before the answer was complete"},
		"empty":       {func(http.ResponseWriter) {}, backend.ErrCorrupt, "the answer is not what KV version 2 gives"},
		"500":         {status(500, "internal error", ""), backend.ErrUnavailable, "status 500 (internal error)"},
		"502":         {func(w http.ResponseWriter) { http.Error(w, "bad gateway", http.StatusBadGateway) }, backend.ErrUnavailable, "status 502"},
		"503":         {status(503, "", ""), backend.ErrUnavailable, "in maintenance, or sealed (status 503"},
		"473":         {status(473, "", ""), backend.ErrUnavailable, "the node is a standby that does not answer (status 473)"},
		"429":         {status(429, "slow down", "60"), backend.ErrUnavailable, "too many requests (status 429: slow down)"},
		"400 leaking": {status(400, "cannot use "+vaultd.Root, ""), backend.ErrUnsupported, "(what it says quotes a credential)"},
		"405":         {status(405, "", ""), backend.ErrUnsupported, "status 405"},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			p := open(t, inFront(t, s, func(w http.ResponseWriter, r *http.Request) bool {
				if broken.Load() && strings.Contains(r.URL.Path, "secret/data/") {
					c.answer(w)
					return false
				}
				return true
			}), byToken, asRoot())
			p.reads(theKey, theValue)
			broken.Store(true)
			p.fails(theKey, c.kind, c.sentence)
			broken.Store(false)
			if name == "429" {
				p.fails(theKey, backend.ErrUnavailable, "left alone for another")
				return
			}
			p.reads(theKey, theValue)
		})
	}
}

func status(code int, text, retry string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if text == "" {
			fmt.Fprint(w, `{"errors":[]}`)
			return
		}
		fmt.Fprintf(w, `{"errors":[%q]}`, text)
	}
}

// TestStorm: however many read, a server that asks for patience is left alone.
func TestStorm(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	p := open(t, inFront(t, nil, func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		status(429, "rate limit quota exceeded", "1")(w)
		return false
	}), byToken, asRoot())
	for range 50 {
		p.fails(theKey, backend.ErrUnavailable, "429")
	}
	if n := asked.Load(); n > 2 { // the read, and what is asked about the token beside it
		t.Errorf("asked %d times", n)
	}
}

// TestCatchUp: a node that lags behind is asked again.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	s := ready(t)
	var left atomic.Int32
	p := open(t, inFront(t, s, func(w http.ResponseWriter, _ *http.Request) bool {
		if left.Add(-1) >= 0 {
			status(412, "required index state not present", "")(w)
			return false
		}
		return true
	}), byToken, asRoot())
	left.Store(3)
	p.reads(theKey, theValue)
	left.Store(1000)
	p.fails(theKey, backend.ErrUnavailable, "the node has not caught up with the last write yet (status 412)")
}

// TestRedirect: a standby sends to the active node, somebody else to wherever he
// likes.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := ready(t)
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	target := s.Address
	standby := inFront(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, target+r.URL.Path, http.StatusTemporaryRedirect)
		return false
	})
	p := open(t, standby, byToken, asRoot())
	p.fails(theKey, backend.ErrUnavailable, "the server sends to "+s.Address+", which is not followed")
	p = open(t, standby, byToken+", standbys: ['"+s.Address+"']", asRoot())
	p.reads(theKey, theValue)
	target = thief.URL
	p.fails(theKey, backend.ErrUnavailable, "the server sends to "+thief.URL)
	if stolen.Load() != 0 {
		t.Error("the token went to another server")
	}
}
