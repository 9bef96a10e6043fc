package bitwarden

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/secretfs/secretfs/backend/bitwarden/push"
	"github.com/secretfs/secretfs/backend/secret"
)

const (
	// settleTime is how long changes are collected before the server is asked:
	// several come at once, and to many machines at the same moment.
	settleTime = 500 * time.Millisecond
	// calmer is how much rarer the server is asked while it tells of changes.
	calmer = 10

	minSilence, maxSilence = 5 * time.Second, 10 * time.Minute // between attempts to connect
	// lossSilence is the first after a connection that has worked: where a server is
	// restarted all machines lose theirs at once, and ask meanwhile.
	lossSilence = time.Minute
)

// listen hears of changes as long as the backend lives. Without it, as where the
// server has no notification service, they are noticed by asking.
func (b *Backend) listen() {
	pause := minSilence
	for {
		var err error
		if b.hasVault() {
			if err = b.listenOnce(); err != nil {
				b.log.Debug("not told of changes, asking instead", "error", err)
			}
		}
		switch worked := b.live.Swap(false); {
		case errors.Is(err, errLoggedOut):
			pause = minSilence
		case worked:
			pause = lossSilence
		}
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxSilence)
	}
}

var errLoggedOut = errors.New("the server has ended the session")

func (b *Backend) listenOnce() error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	token, hub, err := b.hub(ctx)
	if err != nil {
		return err
	}
	defer token.Destroy()
	changed := make(chan struct{}, 1)
	b.tasks.Go(func() { b.react(ctx, changed) })
	ask := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	var out atomic.Bool
	hub.Connected = func() { b.live.Store(true); ask() }
	hub.Heard = func(e push.Event) {
		if e == push.Logout {
			out.Store(true)
			b.loggedOut(ctx)
			cancel()
			return
		}
		ask()
	}
	err = hub.Listen(ctx, token)
	if out.Load() {
		return errLoggedOut
	}
	return err
}

func (b *Backend) hub(ctx context.Context) (*secret.Value, *push.Hub, error) {
	token, err := b.token(ctx)
	if err != nil {
		return nil, nil, err
	}
	base, client, header, err := b.client.Hub(ctx, b.session.device)
	if err != nil {
		token.Destroy()
		return nil, nil, err
	}
	return token, &push.Hub{Base: base, Client: client, Header: header}, nil
}

// react asks the server after changes, at a moment of its own.
func (b *Backend) react(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleTime/2 + rand.N(settleTime)):
		}
		if !b.hasVault() {
			continue
		}
		if f, _ := b.update(false); f != nil {
			<-f.done
		}
	}
}

// loggedOut drops what the server has ended. What is asked for next logs in anew.
func (b *Backend) loggedOut(ctx context.Context) {
	if b.takeTurn(ctx) != nil {
		return
	}
	defer b.giveTurn()
	b.log.Warn("the server has ended the session")
	b.wipe()
	b.session.sealed = ""
	if text, err := b.session.keep(b.versions.all()); err == nil {
		b.store(sessionFile, text)
	}
	b.dropState()
	b.tell()
}
