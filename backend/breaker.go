package backend

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	tripAfter = 3 // consecutive failures
	minPause  = time.Second
	maxPause  = 30 * time.Second
)

// A breaker stops asking a backend that does not answer, so that readers get
// its error at once and the backend is not flooded when it comes back. After
// each pause one request, the probe, finds out whether it is back. The zero
// value is closed, which means that requests pass. Its user guards it.
type breaker struct {
	failures int // consecutive
	pause    time.Duration
	until    time.Time // open until then, and after that until a probe works
	probing  bool
	last     error // the last failure
}

func (b *breaker) tripped() bool { return b.failures >= tripAfter }

// admit says whether a request may be made now, and whether it is the probe. A
// refusal wraps the last failure.
func (b *breaker) admit(now time.Time) (probe bool, err error) {
	switch {
	case !b.tripped():
		return false, nil
	case now.Before(b.until):
		return false, fmt.Errorf("%w (not asked again for %s)", b.last, ceilSecond(b.until.Sub(now)))
	case b.probing:
		return false, fmt.Errorf("%w (being tried again now)", b.last)
	}
	b.probing = true
	return true, nil
}

// record takes the outcome of an admitted request. Only a backend that cannot
// be reached trips the breaker: all other errors are answers.
func (b *breaker) record(now time.Time, probe bool, err error) {
	if probe {
		b.probing = false
	}
	if errors.Is(err, errAbandoned) {
		return
	}
	if IsAlone(err) || !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrUnavailable) {
		*b = breaker{}
		return
	}
	b.failures++
	b.last = err
	// Requests that were under way when it tripped do not lengthen the pause.
	if b.tripped() && (probe || b.until.IsZero()) {
		b.pause = min(max(2*b.pause, minPause), maxPause)
		// Jitter keeps many machines from asking one server in step.
		b.until = now.Add(b.pause/2 + rand.N(b.pause/2))
	}
}

// ceilSecond never says "0s", nor digits that change at every look.
func ceilSecond(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
