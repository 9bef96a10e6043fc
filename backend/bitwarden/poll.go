package bitwarden

import (
	"math/rand/v2"
	"time"
)

// poll updates when the time has come although nobody reads, so that changes are
// noticed. Machines that started together do not ask together.
func (b *Backend) poll() {
	for {
		wait := b.nextPoll()
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(wait):
		}
		if b.ttl() == 0 || !b.hasVault() || b.fresh() {
			continue
		}
		if f, _ := b.update(false); f != nil {
			<-f.done
		}
	}
}

func (b *Backend) nextPoll() time.Duration {
	b.vaultMu.RLock()
	left := b.ttl() - age(b.head.Synced)
	b.vaultMu.RUnlock()
	b.mu.Lock()
	if b.err != nil {
		left = time.Until(b.again)
	}
	b.mu.Unlock()
	left = max(left, time.Second)
	return left + rand.N(left/10+1)
}
