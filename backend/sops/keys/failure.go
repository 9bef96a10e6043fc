package keys

import (
	"errors"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
)

// errNoMatch says that an identity and a master key have nothing to do with
// each other. It is no failure: the next one is tried.
var errNoMatch = helper.ErrNotMine

// severity orders kinds. What may heal by itself wins, so that the resolver
// tries again; a refused key says more than a missing one.
var severity = []error{
	backend.ErrTimeout,
	backend.ErrUnavailable,
	backend.ErrExpired,
	backend.ErrCorrupt,
	backend.ErrRejected,
	backend.ErrUnsupported,
	backend.ErrLocked,
}

// worst is the kind that stands for all of errs, ErrLocked if there are none.
func worst(errs []error) error {
	for _, kind := range severity {
		for _, err := range errs {
			if errors.Is(err, kind) {
				return kind
			}
		}
	}
	return backend.ErrLocked
}
