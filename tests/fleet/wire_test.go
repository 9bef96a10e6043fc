package fleet

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// latency is how long the server takes for a request.
const latency = 20 * time.Millisecond

// A wire is the way of all clients to one server. It counts what goes over it.
// Its methods are safe for concurrent use.
type wire struct {
	server http.RoundTripper
	kind   func(*http.Request) string // what a request is about

	mu      sync.Mutex // guards what follows
	down    bool
	begin   time.Time
	seconds map[string][]int // kind -> requests in each second since begin
}

func newWire(server http.RoundTripper, kind func(*http.Request) string) *wire {
	return &wire{server: server, kind: kind, begin: time.Now(), seconds: map[string][]int{}}
}

// refusedKind counts requests that found nobody, whatever they were about.
const refusedKind = "refused"

// RoundTrip answers as a server would or, while that is down, as a kernel whose
// port nobody listens on.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(latency)
	w.mu.Lock()
	kind, down := w.kind(r), w.down
	if down {
		kind = refusedKind
	}
	w.note(kind)
	w.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: unix.ECONNREFUSED}
	}
	return w.server.RoundTrip(r)
}

// note is called with mu held.
func (w *wire) note(kind string) {
	at := int(time.Since(w.begin) / time.Second)
	counts := w.seconds[kind]
	for len(counts) <= at {
		counts = append(counts, 0)
	}
	counts[at]++
	w.seconds[kind] = counts
}

func (w *wire) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// A load is what went over a wire in some time.
type load struct {
	seconds []int
	byKind  map[string]int
}

// since gives the load from a moment to now. Without kinds all count.
func (w *wire) since(from time.Time) load {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, last := int(from.Sub(w.begin)/time.Second), int(time.Since(w.begin)/time.Second)
	l := load{seconds: make([]int, last-first), byKind: map[string]int{}}
	for kind, counts := range w.seconds {
		for i, n := range counts {
			if i >= first && i < last {
				l.seconds[i-first] += n
				l.byKind[kind] += n
			}
		}
	}
	return l
}

func (l load) total() (n int) {
	for _, s := range l.seconds {
		n += s
	}
	return n
}

// peak is the most requests in one second.
func (l load) peak() int { return slices.Max(append(slices.Clone(l.seconds), 0)) }

func (l load) kinds() []string { return slices.Sorted(maps.Keys(l.byKind)) }
