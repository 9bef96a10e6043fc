package fleet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
)

var (
	clients = flag.Int("clients", 100, "how many machines")
	file    = flag.String("table", "", "the file to write the table to")
)

// A table is what the tests of this package have measured.
type table []string

func (t *table) row(server, what, measured, bar, verdict string) {
	*t = append(*t, fmt.Sprintf("| %s | %s | %s | %s | %s |", server, what, measured, bar, verdict))
}

var measured table

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	text := fmt.Sprintf("%d machines behind one address, started within %s\n\n| server | what | measured | bar | |\n|---|---|---|---|---|\n%s\n",
		*clients, boot, strings.Join(measured, "\n"))
	if *file != "" {
		if err := os.WriteFile(*file, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const (
	boot    = time.Minute // within which all machines start, as after a power cut
	hour    = time.Hour
	outage  = 3 * time.Minute // of the server, when it is restarted
	after   = 10 * time.Minute
	readGap = time.Minute // between two reads on one machine, on average

	changedValue = "value-0, changed"
)

type options struct{ timeout time.Duration }

// A site is a server and how a machine is set up to use it.
type site struct {
	name       string
	ttl        time.Duration
	documented float64 // requests a client and hour, at most
	keys       []string
	wire       *wire
	open       func() *backend.Resolver
	change     func() // of the first key, to changedValue
	restart    func() // what the server forgets by it
	stop       func() // what its end does to connections; nil for nothing
}

// Each is called for what has to be outside of simulated time, and gives what is
// called within.
var sites = []func(*testing.T) func(options) *site{
	func(*testing.T) func(options) *site { return newSecretsManager },
	func(*testing.T) func(options) *site { return newVault },
	newQuiet,
	newPushed,
}

// TestFleet lives through an hour of quiet, a restart of the server and a change
// of a secret, with many machines behind one address.
func TestFleet(t *testing.T) {
	for _, site := range sites {
		open := site(t)
		synctest.Test(t, func(t *testing.T) { open(options{timeout: 5 * time.Second}).run(t) })
	}
}

// row adds one with a bar to the table.
func (s *site) row(t *testing.T, what string, got, bar float64, format string) {
	verdict := "reached"
	if got > bar {
		verdict = "MISSED"
		t.Errorf("%s: %s: %g, want at most %g", s.name, what, got, bar)
	}
	measured.row(s.name, what, fmt.Sprintf(format, got), fmt.Sprintf("<= "+format, bar), verdict)
}

// told adds one without.
func (s *site) told(what, format string, args ...any) {
	measured.row(s.name, what, fmt.Sprintf(format, args...), "", "")
}

func (s *site) run(t *testing.T) {
	f := s.start(t)
	defer f.stop()

	time.Sleep(boot)
	began := s.wire.since(time.Now().Add(-boot))
	s.told("start: requests a second, most", "%d", began.peak())
	// Machines that start together within a minute are not meant to come together
	// again, let alone in less than that.
	burst := float64(max(began.peak(), *clients/30+6))

	quiet := time.Now()
	time.Sleep(hour)
	l := s.wire.since(quiet)
	each := float64(*clients)
	s.row(t, "quiet hour: requests a client", float64(l.total())/each, s.documented, "%.1f")
	for _, kind := range l.kinds() {
		s.told("quiet hour: "+kind+" a client", "%.2f", float64(l.byKind[kind])/each)
	}
	s.row(t, "quiet hour: requests a second, most", float64(l.peak()), burst, "%.0f")
	if n := f.failed.Load(); n > 0 {
		t.Errorf("%s: %d reads failed in a quiet hour", s.name, n)
	}

	s.wire.setDown(true)
	if s.stop != nil {
		s.stop()
	}
	down := time.Now()
	time.Sleep(outage)
	tries := s.wire.since(down)
	s.told(fmt.Sprintf("server down for %s: attempts a client", outage), "%.1f", float64(tries.total())/each)
	s.restart()
	s.wire.setDown(false)
	back := time.Now()
	time.Sleep(after)
	r := s.wire.since(back)
	s.row(t, "restart: requests a second, most in the 10 minutes after", float64(r.peak()), burst, "%.0f")
	if n := f.failed.Load(); n > 0 {
		t.Errorf("%s: %d reads failed though there was a last good value", s.name, n)
	}

	s.change()
	changed := time.Now()
	time.Sleep(s.ttl + time.Second)
	c := s.wire.since(changed)
	s.told("a change: requests a second, most", "%d", c.peak())
	s.row(t, "a change: machines that do not serve it after ttl", float64(f.behind(t)), 0, "%.0f")
}

// A running fleet.
type running struct {
	site      *site
	resolvers []*backend.Resolver
	failed    atomic.Int64
	cancel    context.CancelFunc
	work      sync.WaitGroup
}

// start starts every machine at a moment of its own within boot. Each reads all
// secrets, as its services start, and then one now and then.
func (s *site) start(t *testing.T) *running {
	ctx, cancel := context.WithCancel(t.Context())
	f := &running{site: s, resolvers: make([]*backend.Resolver, *clients), cancel: cancel}
	for i := range f.resolvers {
		r := s.open()
		r.Notify(func() {})
		f.resolvers[i] = r
		f.work.Go(func() {
			pause(ctx, rand.N(boot))
			for _, key := range s.keys {
				f.read(ctx, r, key)
			}
			for ctx.Err() == nil {
				f.read(ctx, r, s.keys[rand.N(len(s.keys))])
				pause(ctx, rand.N(2*readGap))
			}
		})
	}
	return f
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (f *running) read(ctx context.Context, r *backend.Resolver, key string) {
	v, err := r.Get(ctx, key)
	switch {
	case err == nil:
		v.Value.Destroy()
	case !errors.Is(err, context.Canceled):
		f.failed.Add(1)
	}
}

// behind counts the machines that serve an old value.
func (f *running) behind(t *testing.T) (n int) {
	for _, r := range f.resolvers {
		v, err := r.Get(t.Context(), f.site.keys[0])
		if err != nil {
			t.Error(err)
			continue
		}
		if string(v.Value.Bytes()) != changedValue {
			n++
		}
		v.Value.Destroy()
	}
	return n
}

func (f *running) stop() {
	f.cancel()
	f.work.Wait()
	for _, r := range f.resolvers {
		r.Close()
	}
	if f.site.stop != nil {
		f.site.stop()
	}
}
