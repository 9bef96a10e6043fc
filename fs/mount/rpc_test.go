package mount

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peers are both ends of a link; b answers with h.
func peers(t *testing.T, h handler) (a, b *peer) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err = newPeer(os.NewFile(uintptr(pair[0]), "a"), func(*message) (answer, error) { return answer{}, errors.New("not asked for") })
	if err != nil {
		t.Fatal(err)
	}
	b, _, err = newPeer(os.NewFile(uintptr(pair[1]), "b"), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.close()
		b.close()
	})
	return a, b
}

func guarded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// echo answers with the body and the files that it got.
func echo(m *message) (answer, error) {
	var s string
	if err := m.decode(&s); err != nil {
		return answer{}, err
	}
	return answer{body: s, files: m.files}, nil
}

func textFile(t *testing.T, text string) *os.File {
	t.Helper()
	f, err := inMemory("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestSpill sends bodies of around the size of a packet and far above it, with
// files beside them.
func TestSpill(t *testing.T) {
	a, _ := peers(t, echo)
	for _, n := range []int{0, 1, maxMessage - 1100, maxMessage - 1026, maxMessage - 1024, maxMessage - 1000, maxMessage, 3 << 20} {
		for _, files := range []int{0, 1, 40} {
			body := strings.Repeat("x", n)
			var sent []*os.File
			for i := range files {
				sent = append(sent, textFile(t, fmt.Sprint(i)))
			}
			var got string
			received, err := a.call(guarded(t), "echo", body, &got, sent...)
			if err != nil || got != body || len(received) != files {
				t.Errorf("%d bytes and %d files: %d bytes and %d files, %v", n, files, len(got), len(received), err)
			}
			for i, f := range received {
				if b, err := io.ReadAll(io.NewSectionReader(f, 0, 10)); string(b) != fmt.Sprint(i) {
					t.Errorf("file %d has %q, %v", i, b, err)
				}
			}
			closeAll(received)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	a, _ := peers(t, func(*message) (answer, error) { return answer{}, errors.New("it is raining") })
	if _, err := a.call(guarded(t), "go", nil, nil); err == nil || err.Error() != "it is raining" {
		t.Errorf("got %v", err)
	}
}

func TestSlowCallDelaysNoOther(t *testing.T) {
	release := make(chan struct{})
	a, _ := peers(t, func(m *message) (answer, error) {
		if m.Op == "slow" {
			<-release
		}
		return answer{body: m.Op}, nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		var got string
		if _, err := a.call(guarded(t), "slow", nil, &got); err != nil || got != "slow" {
			t.Errorf("slow: %q, %v", got, err)
		}
	})
	for range 100 {
		var got string
		if _, err := a.call(guarded(t), "quick", nil, &got); err != nil || got != "quick" {
			t.Fatalf("quick: %q, %v", got, err)
		}
	}
	close(release)
	wg.Wait()
}

func TestOtherEndDies(t *testing.T) {
	entered := make(chan struct{})
	a, b := peers(t, func(*message) (answer, error) {
		close(entered)
		select {}
	})
	go func() {
		<-entered
		b.close()
	}()
	if _, err := a.call(guarded(t), "go", nil, nil); !errors.Is(err, errPeerGone) {
		t.Errorf("a call that was waiting: %v", err)
	}
	if _, err := a.call(guarded(t), "go", nil, nil); !errors.Is(err, errPeerGone) {
		t.Errorf("a call afterwards: %v", err)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	a, _ := peers(t, func(*message) (answer, error) { select {} })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.call(ctx, "go", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestGarbageOnTheLink must end the link and nothing else.
func TestGarbageOnTheLink(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	p, gone, err := newPeer(os.NewFile(uintptr(pair[1]), "b"), echo)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if _, err := unix.Write(pair[0], []byte("\x00no message")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the link goes on")
	}
}
