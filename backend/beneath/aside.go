package beneath

import (
	"context"
	"errors"
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

type outcome[T any] struct {
	value T
	err   error
}

// aside has f run in a goroutine of its own and waits for it until ctx ends: a
// dead server of files delays nobody beyond their own deadline. What comes too late
// is given to drop, where there is one.
func aside[T any](ctx context.Context, d *Dir, f func() (T, error), drop func(T)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, late(ctx)
	}
	select {
	case d.looks <- struct{}{}:
	case <-ctx.Done():
		return none, late(ctx)
	}
	done := make(chan outcome[T], 1)
	go func() {
		defer func() { <-d.looks }()
		value, err := f()
		done <- outcome[T]{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	if drop != nil {
		go func() { drop((<-done).value) }()
	}
	return none, late(ctx)
}

// late is why ctx has ended.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("its filesystem does not answer: %w", backend.ErrTimeout)
}
