package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A counted backend counts what it is asked in each second.
type counted struct {
	mu      sync.Mutex
	begin   time.Time
	seconds []int
	down    bool
}

func (c *counted) Polls() bool  { return true }
func (c *counted) Close() error { return nil }

func (c *counted) Get(context.Context, string) (*backend.Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.seconds) <= int(time.Since(c.begin)/time.Second) {
		c.seconds = append(c.seconds, 0)
	}
	c.seconds[len(c.seconds)-1]++
	if c.down {
		return nil, errDown
	}
	v, err := secret.From([]byte("value"))
	return &backend.Secret{Value: v, Version: "1"}, err
}

func (c *counted) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin, c.seconds, c.down = time.Now(), nil, down
}

func (c *counted) most() (peak, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.seconds {
		total += n
	}
	return slices.Max(append(c.seconds, 0)), total
}

// What is overdue when a server comes back is asked for bit by bit, though at once
// by whoever reads it.
func TestRecoveryIsNoBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, ttl = 300, 5 * time.Minute
		c := &counted{begin: time.Now()}
		r := backend.New(c, backend.Options{Name: "far", Timings: backend.Timings{Default: backend.Timing{TTL: ttl, MaxStale: time.Hour}}})
		defer r.Close()
		for i := range keys {
			read(t, r, strconv.Itoa(i))
			time.Sleep(ttl / keys / 2)
		}
		c.set(true)
		time.Sleep(10 * time.Minute)
		if _, total := c.most(); total > 60 {
			t.Errorf("asked %d times in ten minutes while it was down", total)
		}
		c.set(false)
		time.Sleep(31 * time.Second) // the longest pause of the breaker and of readers
		if _, stale := read(t, r, "0"); stale {
			t.Error("a reader is kept waiting for the new value")
		}
		time.Sleep(ttl)
		peak, total := c.most()
		if peak > keys/20 || total < keys {
			t.Errorf("asked %d times, %d in one second", total, peak)
		}
		for i := range keys {
			if info, err := r.Stat(t.Context(), fmt.Sprint(i)); err != nil || info.Stale != nil {
				t.Fatalf("%d: %+v %v", i, info, err)
			}
		}
	})
}
