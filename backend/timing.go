package backend

import "time"

// A Timing says how old an answer may be.
type Timing struct {
	// TTL is how long a value is served after it was fetched without asking
	// for it again. 0 asks at every open.
	TTL time.Duration
	// MaxStale is how long after its last success the last good value is
	// served while its source cannot be reached.
	MaxStale time.Duration
}

// Timings are the Timing of a backend and of those of its secrets that have one
// of their own.
type Timings struct {
	Default Timing
	ByKey   map[string]Timing
}

// Of gives the Timing of the secret that key names.
func (t Timings) Of(key string) Timing {
	if own, ok := t.ByKey[key]; ok {
		return own
	}
	return t.Default
}
