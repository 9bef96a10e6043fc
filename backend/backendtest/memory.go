// Package backendtest holds what every driver must pass, and a backend in
// memory for the tests of what stands above the drivers.
package backendtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// Memory is a backend for tests, with an index. Keys are nested with "/". Its
// methods are safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	values  map[string]entry
	errs    map[string]error
	hung    map[string]chan struct{}
	gets    map[string]int
	changed func()
	closed  bool
}

type entry struct {
	text    string
	version backend.Version
}

var (
	_ backend.Indexer  = (*Memory)(nil)
	_ backend.Notifier = (*Memory)(nil)
)

// NewMemory holds the given plaintexts.
func NewMemory(values map[string]string) *Memory {
	m := &Memory{values: map[string]entry{}, errs: map[string]error{}, hung: map[string]chan struct{}{}, gets: map[string]int{}}
	for key, text := range values {
		m.values[key] = entry{text, freshVersion()}
	}
	return m
}

// freshVersion differs at each call, so that it tells nothing of a plaintext.
func freshVersion() backend.Version { return backend.Version(rand.Text()[:16]) }

// Put sets key to a new version and notifies.
func (m *Memory) Put(key, text string) {
	m.mu.Lock()
	m.values[key] = entry{text, freshVersion()}
	changed := m.changed
	m.mu.Unlock()
	if changed != nil {
		changed()
	}
}

// Fail has Get answer err for key from now on; nil ends it.
func (m *Memory) Fail(key string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[key] = err
}

// Hang has Get for key wait, deaf to its context, until release is called once.
func (m *Memory) Hang(key string) (release func()) {
	c := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung[key] = c
	return func() {
		m.mu.Lock()
		delete(m.hung, key)
		m.mu.Unlock()
		close(c)
	}
}

// Gets counts the calls of Get for key.
func (m *Memory) Gets(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gets[key]
}

// Get fetches a copy.
func (m *Memory) Get(ctx context.Context, key string) (*backend.Secret, error) {
	m.mu.Lock()
	m.gets[key]++
	hung := m.hung[key]
	m.mu.Unlock()
	if hung != nil {
		<-hung
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, err := m.find(key)
	if err != nil {
		return nil, err
	}
	v, err := secret.From([]byte(e.text))
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: v, Version: e.version}, nil
}

func (m *Memory) find(key string) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return entry{}, fmt.Errorf("memory: closed: %w", backend.ErrUnavailable)
	}
	if err := m.errs[key]; err != nil {
		return entry{}, err
	}
	e, ok := m.values[key]
	if !ok {
		return entry{}, fmt.Errorf("memory: %q: %w", key, backend.ErrNotFound)
	}
	return e, nil
}

// Stat answers for values and for what lies above them.
func (m *Memory) Stat(ctx context.Context, key string) (backend.Info, error) {
	if err := ctx.Err(); err != nil {
		return backend.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.values[key]; ok {
		return backend.Info{Size: int64(len(e.text)), Version: e.version}, nil
	}
	if len(m.children(key)) > 0 {
		return backend.Info{Size: backend.SizeUnknown, Dir: true}, nil
	}
	return backend.Info{}, fmt.Errorf("memory: %q: %w", key, backend.ErrNotFound)
}

// List names the children of key, sorted.
func (m *Memory) List(ctx context.Context, key string) ([]backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	entries := m.children(key)
	if len(entries) == 0 && key != "" {
		return nil, fmt.Errorf("memory: %q: %w", key, backend.ErrNotFound)
	}
	return entries, nil
}

// children is called with mu held.
func (m *Memory) children(key string) []backend.Entry {
	prefix := key
	if key != "" {
		prefix += "/"
	}
	found := map[backend.Entry]bool{}
	for k := range m.values {
		if rest, ok := strings.CutPrefix(k, prefix); ok && rest != "" {
			name, _, dir := strings.Cut(rest, "/")
			found[backend.Entry{Name: name, Dir: dir}] = true
		}
	}
	var entries []backend.Entry
	for e := range found {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b backend.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// Notify has changed called by Put.
func (m *Memory) Notify(changed func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = changed
}

// Close makes further Gets fail.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
