package fleet

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A limiter answers 429 to what is over the quota of one address, as the cloud
// does: so many of a kind in each minute.
type limiter struct {
	next  http.RoundTripper
	kind  func(*http.Request) string
	quota map[string]int

	mu   sync.Mutex // guards what follows
	from time.Time
	used map[string]int
}

func (l *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	if time.Since(l.from) >= time.Minute {
		l.from, l.used = time.Now(), map[string]int{}
	}
	kind := l.kind(r)
	l.used[kind]++
	over := l.used[kind] > l.quota[kind]
	l.mu.Unlock()
	if over {
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"60"}}, Body: http.NoBody, Request: r}, nil
	}
	return l.next.RoundTrip(r)
}

// TestQuota has a quarter of the machines start together behind an address to
// which Bitwarden's cloud gives 10 logins and 200 questions a minute.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := *clients
		*clients = max(all/4, 1)
		defer func() { *clients = all }()
		s := newSecretsManager(options{timeout: 5 * time.Second})
		s.name += ", quotas of the cloud"
		s.wire.server = &limiter{next: s.wire.server, kind: s.wire.kind, quota: map[string]int{"login": 10, "sync": 200}}
		f := s.start(t)
		defer f.stop()
		began := time.Now()
		needed := time.Duration(*clients/10+1) * time.Minute // as many logins take that long
		for f.unserved(t) > 0 && time.Since(began) < 3*needed {
			time.Sleep(time.Minute)
		}
		s.told("start: machines", "%d", *clients)
		s.row(t, "start: minutes until each has its secrets", time.Since(began).Minutes(), boot.Minutes()+1.5*needed.Minutes(), "%.0f")
		l := s.wire.since(began)
		s.told("start: logins tried a client", "%.1f", float64(l.byKind["login"])/float64(*clients))
		quiet := time.Now()
		time.Sleep(hour)
		s.row(t, "the hour after: requests a client", float64(s.wire.since(quiet).total())/float64(*clients), 2*s.documented, "%.1f")
		if n := f.unserved(t); n > 0 {
			t.Errorf("%d machines have lost their secrets", n)
		}
	})
}

// unserved counts the machines without secrets.
func (f *running) unserved(t *testing.T) (n int) {
	for _, r := range f.resolvers {
		v, err := r.Get(t.Context(), f.site.keys[0])
		if err != nil {
			n++
			continue
		}
		v.Value.Destroy()
	}
	return n
}
