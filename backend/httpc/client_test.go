package httpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
)

func get(c *Client, url string) (*Reply, error) {
	return c.Do(context.Background(), Request{Method: "GET", URL: url, Header: http.Header{"Authorization": {"Bearer canary-token"}}})
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// fails wants an error of that kind which says text and quotes no credential.
func fails(t *testing.T, err, kind error, text string) {
	t.Helper()
	switch {
	case !errors.Is(err, kind):
		t.Errorf("got %v, want %v", err, kind)
	case !strings.Contains(err.Error(), text):
		t.Errorf("%q does not say %q", err, text)
	case strings.Contains(err.Error(), "canary"):
		t.Errorf("%q quotes a credential", err)
	}
}

func TestRedirectElsewhereIsNotFollowed(t *testing.T) {
	var reached atomic.Bool
	other := serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		at := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, status) })
		c := New(Config{})
		_, err := get(c, at)
		fails(t, err, backend.ErrUnavailable, "the server sends to "+other)
		_, err = c.Do(context.Background(), Request{Method: "POST", URL: at, Body: []byte("client_secret=canary")})
		fails(t, err, backend.ErrUnavailable, "the server sends to "+other)
	}
	if reached.Load() {
		t.Error("the other server was asked")
	}
}

// A named peer gets the request whole, header and body.
func TestRedirectToAPeerIsFollowed(t *testing.T) {
	peer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Vault-Token"), body)
	})
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, peer+r.URL.Path, http.StatusTemporaryRedirect)
	})
	c := New(Config{Peers: []string{peer}})
	r, err := c.Do(context.Background(), Request{Method: "POST", URL: at, Header: http.Header{"X-Vault-Token": {"t"}}, Body: []byte("x")})
	if err != nil || string(r.Body) != "t x" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestRedirectOnTheSameServerIsFollowed(t *testing.T) {
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	r, err := New(Config{}).Do(context.Background(), Request{Method: "POST", URL: at + "/", Body: []byte("x")})
	if err != nil || string(r.Body) != "/there x" {
		t.Errorf("%v, %v", r, err)
	}
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	_, err = get(New(Config{}), loop)
	fails(t, err, backend.ErrUnavailable, "without end")
}

func TestServersThatDoNotAnswer(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	hangsUp := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	})
	long := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3000)) })
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 3000))
		}
	})
	for _, c := range []struct {
		name, url string
		kind      error
		text      string
	}{
		{"gone", gone.URL, backend.ErrUnavailable, "nothing listens on 127.0.0.1:"},
		{"slow", slow + "/x?access_token=canary", backend.ErrTimeout, "GET " + slow + "/x: no answer in time"},
		{"cut short", cut, backend.ErrUnavailable, "the connection was cut"},
		{"hangs up", hangsUp + "?access_token=canary", backend.ErrUnavailable, "the connection was cut before the answer was complete (it may want https://)"},
		{"too long", long, backend.ErrUnavailable, "longer than 2000 bytes"},
		{"endless", endless, backend.ErrUnavailable, "longer than 2000 bytes"},
		{"no such host", "http://canaryless.invalid/", backend.ErrUnavailable, `host "canaryless.invalid"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if c.name == "slow" {
				ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
			}
			_, err := New(Config{MaxBody: 2000, Settings: Settings{Proxy: noProxy}}).Do(ctx, Request{Method: "GET", URL: c.url})
			if c.name == "no such host" {
				if !errors.Is(err, backend.ErrUnavailable) && !errors.Is(err, backend.ErrTimeout) {
					t.Errorf("got %v", err)
				}
				return // with DNS out of reach it is another sentence
			}
			fails(t, err, c.kind, c.text)
		})
	}
}

func TestCancelled(t *testing.T) {
	at := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := New(Config{}).Do(ctx, Request{Method: "GET", URL: at}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A login that comes upon a connection which died meanwhile is sent again.
func TestRepeatablePostOnADeadConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // one answer, and the second request gets none
				buf := make([]byte, 4096)
				_, _ = conn.Read(buf)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				_, _ = conn.Read(buf)
				conn.Close()
			}()
		}
	}()
	c := New(Config{})
	for range 3 {
		r, err := c.Do(context.Background(), Request{Method: "POST", URL: "http://" + l.Addr().String(), Body: []byte("x"), Repeatable: true})
		if err != nil || string(r.Body) != "ok" {
			t.Fatal(r, err)
		}
	}
}

func TestLargeBody(t *testing.T) {
	want := strings.Repeat("0123456789", 100_000)
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush() // so that its length is not said
		_, _ = io.WriteString(w, want)
	})
	r, err := get(New(Config{}), at)
	if err != nil || string(r.Body) != want {
		t.Fatal(len(r.Body), err)
	}
	r.Wipe()
	if r.Body[0] != 0 || r.Body[len(r.Body)-1] != 0 {
		t.Error("not wiped")
	}
}

type answer func(*http.Request) *http.Response

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name       string
		status     int
		retryAfter string
		min, max   time.Duration
	}{
		{"seconds", 429, "60", time.Minute, 91 * time.Second},
		{"a date by a clock of the server's own", 503, "Sat, 01 Jan 2000 00:01:00 GMT", time.Minute, 91 * time.Second},
		{"429 without a word", 429, "", impliedHold, 24 * time.Second},
		{"503 without a word", 503, "", 0, 0},
		{"absurd", 429, "999999999", maxHold, 2 * maxHold},
		{"negative", 429, "Fri, 31 Dec 1999 00:00:00 GMT", 0, 0},
		{"no failure", 200, "60", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				client := New(Config{Transport: answer(func(*http.Request) *http.Response {
					asked++
					return &http.Response{StatusCode: c.status, Body: http.NoBody, Header: http.Header{
						"Retry-After": {c.retryAfter}, "Date": {"Sat, 01 Jan 2000 00:00:00 GMT"},
					}}
				})})
				if r, err := get(client, "https://x.example"); err != nil || r.Status != c.status {
					t.Fatal(r, err)
				}
				start := time.Now()
				for asked == 1 {
					if _, err := get(client, "https://x.example"); err != nil {
						fails(t, err, backend.ErrUnavailable, fmt.Sprintf("status %d and is left alone", c.status))
					}
					time.Sleep(time.Second)
				}
				if held := time.Since(start) - time.Second; held < c.min || held > c.max {
					t.Errorf("held for %s, want %s to %s", held, c.min, c.max)
				}
			})
		})
	}
}

func TestReplies(t *testing.T) {
	for status, kind := range map[int]error{
		401: backend.ErrRejected, 403: backend.ErrRejected, 404: backend.ErrNotFound,
		429: backend.ErrUnavailable, 500: backend.ErrUnavailable, 502: backend.ErrUnavailable,
	} {
		at := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>canary")
		})
		r, err := get(New(Config{}), at+"/x?y=canary")
		if err != nil {
			t.Fatal(err)
		}
		fails(t, r.Failure(), kind, "GET "+at+"/x")
		fails(t, r.Garbage(), backend.ErrUnavailable, "not understood")
		if r.IsJSON() {
			t.Error("taken for JSON")
		}
	}
}
