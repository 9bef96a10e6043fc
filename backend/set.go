package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Set is the configured backends. It does not change once made, and is safe
// for concurrent use.
type Set struct {
	sorted []*Resolver // by name
}

// NewSet takes resolvers with names that differ.
func NewSet(rs ...*Resolver) (*Set, error) {
	sorted := slices.Clone(rs)
	slices.SortFunc(sorted, func(a, b *Resolver) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].name == sorted[i-1].name {
			return nil, fmt.Errorf("two backends are named %q", sorted[i].name)
		}
	}
	return &Set{sorted}, nil
}

// Lookup finds the backend of that name.
func (s *Set) Lookup(name string) (*Resolver, bool) {
	i, ok := slices.BinarySearchFunc(s.sorted, name, func(r *Resolver, n string) int { return strings.Compare(r.name, n) })
	if !ok {
		return nil, false
	}
	return s.sorted[i], true
}

// All is the backends by name. The caller does not change the slice.
func (s *Set) All() []*Resolver { return s.sorted }

// Notify has changed called with the name of each backend that notices a
// change, from any goroutine. It is called once, before the first Get.
func (s *Set) Notify(changed func(name string)) {
	for _, r := range s.sorted {
		r.Notify(func() { changed(r.name) })
	}
}

// Close closes all backends at the same time, so that a stuck one does not keep
// the others from wiping their keys.
func (s *Set) Close() error {
	errs := make([]error, len(s.sorted))
	var wg sync.WaitGroup
	for i, r := range s.sorted {
		wg.Go(func() { errs[i] = r.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Revoke has all backends give back what they were given, at the same time.
func (s *Set) Revoke(ctx context.Context) error {
	errs := make([]error, len(s.sorted))
	var wg sync.WaitGroup
	for i, r := range s.sorted {
		wg.Go(func() { errs[i] = r.Revoke(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
