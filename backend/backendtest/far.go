package backendtest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/secretfs/secretfs/backend"
)

// Far is a backend for tests whose secrets lie elsewhere: a Memory that has to be
// asked for each, and for what lies at a place, a Remote and a Lister. A place is
// the start of a key, without the "/" after it. Its methods are safe for
// concurrent use.
type Far struct {
	Memory *Memory
	Polled bool // what Polls says

	mu     sync.Mutex
	down   error
	shown  map[string][]backend.Item
	asked  map[string]int
	hung   map[string]chan struct{}
	panics string
	stall  chan struct{} // closed by Mend
}

var (
	_ backend.Remote = (*Far)(nil)
	_ backend.Lister = (*Far)(nil)
)

// NewFar holds the given plaintexts.
func NewFar(values map[string]string) *Far {
	return &Far{
		Memory: NewMemory(values), shown: map[string][]backend.Item{}, asked: map[string]int{}, hung: map[string]chan struct{}{},
	}
}

// Polls says what Polled does.
func (f *Far) Polls() bool { return f.Polled }

// Close makes further Gets fail.
func (f *Far) Close() error { return f.Memory.Close() }

// Down has everything answer err from now on; nil ends it.
func (f *Far) Down(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

// Stall has everything wait for its deadline, until Mend.
func (f *Far) Stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stall = make(chan struct{})
}

// Mend ends Down and Stall.
func (f *Far) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = nil
	if f.stall != nil {
		close(f.stall)
		f.stall = nil
	}
}

// reach says why the source does not answer.
func (f *Far) reach(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	down, stall := f.down, f.stall
	f.mu.Unlock()
	if stall == nil {
		return down
	}
	select {
	case <-stall:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// Show has a place list these items whatever the Memory has there.
func (f *Far) Show(place string, items ...backend.Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown[place] = items
}

// HangListing has Entries wait for place, deaf to its context, until release is
// called once.
func (f *Far) HangListing(place string) (release func()) {
	c := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hung[place] = c
	return func() {
		f.mu.Lock()
		delete(f.hung, place)
		f.mu.Unlock()
		close(c)
	}
}

// PanicListing has Entries panic for place; the text quotes a secret.
func (f *Far) PanicListing(place string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.panics = place
}

// Listings counts the calls of Entries for place.
func (f *Far) Listings(place string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[place]
}

// Get fetches a copy.
func (f *Far) Get(ctx context.Context, key string) (*backend.Secret, error) {
	if err := f.reach(ctx); err != nil {
		return nil, err
	}
	return f.Memory.Get(ctx, key)
}

// Entries lists what lies at place.
func (f *Far) Entries(ctx context.Context, place string) ([]backend.Item, error) {
	f.mu.Lock()
	f.asked[place]++
	hung, panics := f.hung[place], f.panics != "" && f.panics == place
	f.mu.Unlock()
	if hung != nil {
		<-hung
	}
	if panics {
		panic("canary-panic " + place)
	}
	if err := f.reach(ctx); err != nil {
		return nil, fmt.Errorf("listing %s: %w", place, err)
	}
	f.mu.Lock()
	shown := f.shown[place]
	f.mu.Unlock()
	if shown != nil {
		return shown, nil
	}
	entries, err := f.Memory.List(ctx, place)
	if err != nil {
		return nil, err
	}
	items := make([]backend.Item, len(entries))
	for i, e := range entries {
		items[i] = backend.Item{Name: e.Name, Key: strings.TrimPrefix(place+"/"+e.Name, "/"), Dir: e.Dir}
	}
	return items, nil
}

// Remove takes a secret away.
func (m *Memory) Remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
}
