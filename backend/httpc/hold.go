package httpc

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/secretfs/secretfs/backend"
)

const (
	// impliedHold is how long a server is left alone that has too many requests
	// and does not say for how long (RFC 6585, 4).
	impliedHold = 15 * time.Second
	// maxHold bounds what a server may ask for.
	maxHold = time.Hour
)

// A hold is a time in which a server wants no requests.
type hold struct {
	mu     sync.Mutex
	until  time.Time
	status int
}

// over says why nothing may be sent now.
func (h *hold) over() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := time.Until(h.until)
	if left <= 0 {
		return nil
	}
	return fmt.Errorf("the server has answered with status %d and is left alone for another %s: %w",
		h.status, (left + time.Second - 1).Truncate(time.Second), backend.ErrUnavailable)
}

// note begins a hold if the answer asks for one (RFC 9110, 10.2.3). It lasts up to
// half as long again as asked: many machines that were told the same at the same
// moment must not come back together.
func (h *hold) note(r *Reply) {
	d, asked := retryAfter(r.Header)
	switch {
	case r.Status == http.StatusTooManyRequests && !asked:
		d = impliedHold
	case r.Status != http.StatusTooManyRequests && r.Status != http.StatusServiceUnavailable, d <= 0:
		return
	}
	d = min(d, maxHold)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until, h.status = time.Now().Add(d+rand.N(d/2+time.Second)), r.Status
}

// retryAfter reads the header, a number of seconds or a date. The date is by the
// server's clock, so that ours may be wrong.
func retryAfter(h http.Header) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return at.Sub(now), true
}
