package httpc

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A Reply is what a server has answered, whatever the status.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	what   string // the call
}

// Wipe overwrites the body.
func (r *Reply) Wipe() { secret.Wipe(r.Body) }

// OK says that the status is 2xx.
func (r *Reply) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Date is the server's clock, or ok is false.
func (r *Reply) Date() (t time.Time, ok bool) {
	t, err := http.ParseTime(r.Header.Get("Date"))
	return t, err == nil
}

// Errorf makes an error about this answer, which names the call.
func (r *Reply) Errorf(format string, args ...any) error {
	return fmt.Errorf(r.what+": "+format, args...)
}

// IsJSON says whether the answer calls itself JSON. Proxies and portals answer
// with pages.
func (r *Reply) IsJSON() bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// Garbage is the error of an answer that is not what the protocol has. It
// quotes nothing of it, and tells nothing of the secret.
func (r *Reply) Garbage() error {
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		kind = "no content type"
	}
	if len(kind) > 80 {
		kind = kind[:80]
	}
	return r.Errorf("the answer is not understood (status %d, %q, %d bytes); is this the address of the server, and not of a page before it?: %w",
		r.Status, kind, len(r.Body), backend.ErrUnavailable)
}

// Failure is the error of a status that is not 2xx, for those that a protocol gives
// no meaning of its own; nil otherwise.
func (r *Reply) Failure() error {
	switch {
	case r.OK():
		return nil
	case r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden:
		return r.Errorf("refused (status %d): %w", r.Status, backend.ErrRejected)
	case r.Status == http.StatusNotFound:
		return r.Errorf("not there, or not for this token (status 404): %w", backend.ErrNotFound)
	case r.Status == http.StatusTooManyRequests:
		return r.Errorf("too many requests (status 429): %w", backend.ErrUnavailable)
	}
	return r.Errorf("the server answers with status %d: %w", r.Status, backend.ErrUnavailable)
}

// A tooLong answer is not read to its end.
type tooLong struct{ max int64 }

func (e *tooLong) Error() string { return fmt.Sprintf("the answer is longer than %d bytes", e.max) }

// readAll reads a body of at most limit bytes, and leaves no copy of it behind.
func readAll(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, &tooLong{limit}
	}
	buf := make([]byte, 0, max(resp.ContentLength, 4<<10)+1)
	for {
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			secret.Wipe(buf)
			return nil, &tooLong{limit}
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			secret.Wipe(buf)
			return nil, err
		case len(buf) == cap(buf):
			bigger := make([]byte, len(buf), 2*cap(buf))
			copy(bigger, buf)
			secret.Wipe(buf)
			buf = bigger
		}
	}
}
