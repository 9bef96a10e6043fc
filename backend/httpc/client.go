package httpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// defaultTime ends a call whose context has no deadline.
	defaultTime = 30 * time.Second
	// defaultMax is the longest answer where nothing else is said, in bytes.
	defaultMax = 8 << 20
	// maxRedirects is how often one call may be sent elsewhere on its server.
	maxRedirects = 3
)

// A Config sets up a Client.
type Config struct {
	Settings
	UserAgent string
	// MaxBody is the longest answer in bytes; 8 MiB if 0.
	MaxBody int64
	// Peers are other addresses of the server, as URLs without a path: a redirect
	// to one of them is followed.
	Peers []string
	// Transport replaces the network, in tests.
	Transport http.RoundTripper
}

// A Client talks to one server. Its methods are safe for concurrent use.
type Client struct {
	cfg    Config
	client http.Client
	hold   hold

	mu        sync.Mutex // guards what follows
	transport *http.Transport
	stamps    [3]stamp // of the files of Settings when transport was made
}

// New makes a Client. It touches no file and connects to nothing: the first
// call does.
func New(cfg Config) *Client {
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = defaultMax
	}
	c := &Client{cfg: cfg}
	c.client = http.Client{Transport: roundTripper{c}, CheckRedirect: c.sameServer}
	return c
}

// A Request is one call.
type Request struct {
	Method string
	URL    string
	// Header may hold a credential; net/http wants it as a string. Who makes it
	// lets go of it at once.
	Header http.Header
	Body   []byte
	// Repeatable says that it does no harm to send it twice, though it is a
	// POST: it is sent again where a connection that was kept turns out dead.
	Repeatable bool
}

// Do makes one call. An error means that there is no answer; it wraps
// backend.ErrUnavailable or backend.ErrTimeout, or is context.Canceled. It names
// method, host and path, never query, header or body.
func (c *Client) Do(ctx context.Context, r Request) (*Reply, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := c.hold.over(); err != nil {
		return nil, named(req, err)
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	resp, err := c.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, named(req, explain(ctx, err))
	}
	defer resp.Body.Close()
	body, err := readAll(resp, c.cfg.MaxBody)
	if err != nil {
		return nil, named(req, explain(ctx, err))
	}
	reply := &Reply{Status: resp.StatusCode, Header: resp.Header, Body: body, what: name(req)}
	c.hold.note(reply)
	return reply, nil
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil { // it quotes the URL
		return nil, errors.New("making a request: the URL or the method is malformed")
	}
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	if r.Repeatable {
		req.Header["Idempotency-Key"] = nil // net/http.Transport: not sent
	}
	return req, nil
}

// HTTP is what Do works with, for protocols that begin with a request and go on
// (WebSocket). Nothing bounds its answers, and no hold stops it.
func (c *Client) HTTP() *http.Client { return &c.client }

// Close ends idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultTime)
}

// named says which call err is about.
func named(req *http.Request, err error) error {
	return fmt.Errorf("%s: %w", name(req), err)
}

func name(req *http.Request) string {
	u := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}
	return req.Method + " " + u.String()
}

// sameServer is a policy for redirects (http.Client.CheckRedirect): net/http
// would take the token along in headers that it does not know, and the body of
// a login in a 307.
func (c *Client) sameServer(to *http.Request, via []*http.Request) error {
	from, origin := via[0].URL, (&url.URL{Scheme: to.URL.Scheme, Host: to.URL.Host}).String()
	switch {
	case (to.URL.Scheme != from.Scheme || to.URL.Host != from.Host) && !slices.Contains(c.cfg.Peers, origin):
		return &redirectError{to: origin}
	case len(via) > maxRedirects:
		return &redirectError{}
	}
	return nil
}
