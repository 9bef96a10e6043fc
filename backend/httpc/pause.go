package httpc

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Second
	// minLimit is the least that Begin may be limited to.
	minLimit = 2 * time.Second
)

// A Pause is for how long a server is not asked again after a failure. It doubles
// with each one. The zero value is over. Its user guards it.
type Pause struct {
	length time.Duration
	until  time.Time
}

// Begin starts one that is up to limit long. Half of it is left to chance, so that
// machines that saw a server go down together do not come back together.
func (p *Pause) Begin(limit time.Duration) {
	p.length = min(max(2*p.length, firstPause), max(limit, minLimit))
	p.until = time.Now().Add(p.length/2 + rand.N(p.length/2))
}

// Left is how long it lasts yet, 0 if it is over.
func (p *Pause) Left() time.Duration { return max(time.Until(p.until), 0) }

// End makes the next request pass, and the next Pause short.
func (p *Pause) End() { *p = Pause{} }
