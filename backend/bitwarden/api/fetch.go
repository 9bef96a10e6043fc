package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// Revision is when the vault last changed, in milliseconds since 1970 by the
// server's clock. It may go back, when a backup is restored.
func (c *Client) Revision(ctx context.Context, access *secret.Value) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	r, err := c.get(ctx, "/accounts/revision-date", access)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.Trim(r.Body, " \r\n\"")), 10, 64)
	if err != nil {
		return 0, r.Garbage()
	}
	return n, nil
}

// Sync fetches the vault: JSON in which all that is secret is encrypted.
func (c *Client) Sync(ctx context.Context, access *secret.Value) ([]byte, error) {
	r, err := c.get(ctx, "/sync?excludeDomains=true", access)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(r.Body, " \t\r\n"), []byte("{")) {
		return nil, r.Garbage()
	}
	return r.Body, nil
}

// Attachment fetches the content of an attachment in its binary, encrypted form.
// It is elsewhere, under an address that is good for a short time, and neither
// token nor headers go there.
func (c *Client) Attachment(ctx context.Context, access *secret.Value, item, id string) ([]byte, error) {
	r, err := c.get(ctx, "/ciphers/"+url.PathEscape(item)+"/attachment/"+url.PathEscape(id), access)
	if e := AsError(err); e != nil && e.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", err, backend.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	var a struct{ URL string }
	if json.Unmarshal(r.Body, &a) != nil {
		return nil, r.Garbage()
	}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, r.Garbage()
	}
	content, err := c.files.Do(ctx, httpc.Request{Method: http.MethodGet, URL: a.URL})
	if err != nil {
		return nil, err
	}
	return content.Body, content.Failure()
}
