package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// Version is what we tell servers that we are as able as: they hide items, and
// refuse accounts, of which older clients know nothing.
const Version = "2026.9.0"

// deviceType is the command line client on Linux.
const deviceType = "25"

// Limits of answers, in bytes.
const (
	maxAnswer = 1 << 20
	maxVault  = 256 << 20
	// MaxAttachment bounds the plaintext of one attachment.
	MaxAttachment = 100 << 20
	maxOverhead   = 1 << 10 // of encryption
)

// A Config says how a server is reached.
type Config struct {
	httpc.Settings
	Hosts Hosts
	// Header gives what has to go with each request besides, as to pass a
	// proxy. It may be nil.
	Header func(ctx context.Context) (http.Header, error)
	// Timeout bounds every call but those that fetch a vault or an attachment.
	Timeout time.Duration
	// Transport replaces the network, in tests.
	Transport http.RoundTripper
}

// A Client speaks to one server. It is safe for concurrent use.
type Client struct {
	cfg Config
	// Logins have an allowance of their own; attachments may be elsewhere.
	identity, api, files *httpc.Client
}

// New makes a Client. It connects to nothing yet.
func New(cfg Config) *Client {
	with := func(limit int64) *httpc.Client {
		return httpc.New(httpc.Config{Settings: cfg.Settings, UserAgent: "secretfs", MaxBody: limit, Transport: cfg.Transport})
	}
	return &Client{cfg: cfg, identity: with(maxAnswer), api: with(maxVault), files: with(MaxAttachment + maxOverhead)}
}

// Close drops the connections.
func (c *Client) Close() {
	for _, h := range []*httpc.Client{c.identity, c.api, c.files} {
		h.Close()
	}
}

// header is what every request to the server's own services has. Of bearer,
// which may be nil, a copy is on the heap: net/http takes strings.
func (c *Client) header(ctx context.Context, device string, bearer *secret.Value) (http.Header, error) {
	h := http.Header{}
	if c.cfg.Header != nil {
		own, err := c.cfg.Header(ctx)
		if err != nil {
			return nil, err
		}
		h = own
	}
	h.Set("Accept", "application/json")
	h.Set("Device-Type", deviceType)
	h.Set("Bitwarden-Client-Name", "cli")
	h.Set("Bitwarden-Client-Version", Version)
	if device != "" {
		h.Set("Device-Identifier", device)
	}
	if bearer != nil {
		h.Set("Authorization", "Bearer "+string(bearer.Bytes()))
	}
	return h, nil
}

// post sends a body to the identity service and decodes the answer, which is
// wiped: it may hold tokens.
func (c *Client) post(ctx context.Context, path, device, kind string, body []byte, answer any) error {
	h, err := c.header(ctx, device, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	h.Set("Content-Type", kind+"; charset=utf-8")
	reply, err := c.identity.Do(ctx, httpc.Request{Method: http.MethodPost, URL: c.cfg.Hosts.Identity + path, Header: h, Body: body})
	if err != nil {
		return err
	}
	defer reply.Wipe()
	if err := failure(reply); err != nil {
		return err
	}
	if json.Unmarshal(reply.Body, answer) != nil { // whose error may quote
		return reply.Garbage()
	}
	return nil
}

// get fetches something of the account from the API service.
func (c *Client) get(ctx context.Context, path string, access *secret.Value) (*httpc.Reply, error) {
	h, err := c.header(ctx, "", access)
	if err != nil {
		return nil, err
	}
	reply, err := c.api.Do(ctx, httpc.Request{Method: http.MethodGet, URL: c.cfg.Hosts.API + path, Header: h})
	if err != nil {
		return nil, err
	}
	return reply, failure(reply)
}

// Hub is what it takes to listen to the notification service.
func (c *Client) Hub(ctx context.Context, device string) (base string, client *http.Client, header http.Header, err error) {
	header, err = c.header(ctx, device, nil)
	return c.cfg.Hosts.Notifications, c.api.HTTP(), header, err
}
