package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/secretfs/secretfs/backend"
)

// A testCase is one part of the contract.
type testCase struct {
	name string
	run  func(*testing.T, Fixture)
	// has says that a fixture has what the case needs; nil for what every one has.
	has func(Fixture) bool
}

var cases = []testCase{
	{"found", testFound, nil},
	{"each caller owns its value", testOwned, nil},
	{"missing", testMissing, nil},
	{"cancelled", testCancelled, nil},
	{"concurrent", testConcurrent, nil},
	{"index", testIndex, is[backend.Indexer]},
	{"corrupt", testCorrupt, func(f Fixture) bool { return f.Corrupt != nil }},
	{"locked", testLocked, func(f Fixture) bool { return f.Locked != nil }},
	{"denied", testDenied, func(f Fixture) bool { return f.Denied != nil }},
	{"deadline", testDeadline, func(f Fixture) bool { return f.Slow != nil }},
	{"server gone and back", testOutage, func(f Fixture) bool { return f.Server != nil }},
	{"lock", testLock, is[backend.Locker]},
	{"kept state", testKept, func(f Fixture) bool { return f.Reopen != nil }},
	{"places", testPlaces, func(f Fixture) bool { return is[backend.Lister](f) && f.Place != "" }},
}

func is[T any](f Fixture) bool {
	_, ok := f.Backend.(T)
	return ok
}

// choose gives the cases to run. A case that a fixture has nothing for has to be
// named in Without, and no other may be.
func choose(f Fixture) (run []testCase, err error) {
	if len(f.Secrets) < 2 || f.Missing == "" {
		return nil, errors.New("the fixture has fewer than two secrets, or no missing key")
	}
	left := slices.Clone(f.Without)
	for _, c := range cases {
		i := slices.Index(left, c.name)
		switch has := c.has == nil || c.has(f); {
		case has && i >= 0:
			return nil, fmt.Errorf("the fixture is without %q, and has what it needs", c.name)
		case has:
			run = append(run, c)
		case i < 0:
			return nil, fmt.Errorf("the fixture has nothing for %q, and is not said to be without it", c.name)
		default:
			left = slices.Delete(left, i, i+1)
		}
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("there are no cases %q", left)
	}
	return run, nil
}
