package ask

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/secretfs/secretfs/backend/secret"
)

// A desk is a terminal with somebody in front of it.
type desk struct {
	t    *testing.T
	us   *os.File // the person's end
	tty  *os.File
	seen strings.Builder
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	us, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { us.Close() })
	if err := unix.IoctlSetPointerInt(int(us.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(us.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return &desk{t: t, us: us, tty: tty}
}

// types waits until the prompt is there and answers it, in the background. What
// was seen is the caller's once done is closed.
func (d *desk) types(prompt, line string) (done <-chan struct{}) {
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		d.answer(prompt, line)
	}()
	return typed
}

func (d *desk) answer(prompt, line string) {
	buf := make([]byte, 256)
	for !strings.Contains(d.seen.String(), prompt) {
		n, err := d.us.Read(buf)
		if err != nil {
			d.t.Errorf("waiting for %q: %v", prompt, err)
			return
		}
		d.seen.Write(buf[:n])
	}
	if _, err := d.us.WriteString(line + "\n"); err != nil {
		d.t.Error(err)
	}
}

func (d *desk) echoes() bool {
	state, err := unix.IoctlGetTermios(int(d.tty.Fd()), unix.TCGETS)
	return err == nil && state.Lflag&unix.ECHO != 0
}

func asks(t *testing.T, a Asker, q Question) (text string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err := a.Ask(ctx, q)
	defer v.Destroy()
	return string(v.Bytes()), err
}

func TestTerminal(t *testing.T) {
	before := secret.Stats().Values
	d := newDesk(t)
	typed := d.types("master password of backend bw: ", "hunter2 ä")
	q := question
	q.Problem = "that was wrong"
	if got, err := asks(t, terminal{d.tty}, q); err != nil || got != "hunter2 ä" {
		t.Errorf("got %q, %v", got, err)
	}
	<-typed
	if seen := d.seen.String(); !strings.HasPrefix(seen, "that was wrong\r\n") || strings.Contains(seen, "hunter") {
		t.Errorf("the terminal shows %q", seen)
	}
	if !d.echoes() {
		t.Error("the terminal does not echo any more")
	}
	if after := secret.Stats().Values; after != before {
		t.Errorf("%d secrets more than before", after-before)
	}
}

// Ctrl-C leaves the terminal as it was.
func TestTerminalInterrupted(t *testing.T) {
	d := newDesk(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for d.echoes() {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := (terminal{d.tty}).Ask(ctx, question); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !d.echoes() {
		t.Error("the terminal does not echo any more")
	}
	if !term.IsTerminal(int(d.tty.Fd())) {
		t.Error("it was no terminal")
	}
	_, _ = d.us.WriteString("\n") // ends the read that is left
}

// A real pinentry asks at the terminal that GPG_TTY names.
func TestPinentry(t *testing.T) {
	d := newDesk(t)
	t.Setenv("GPG_TTY", d.tty.Name())
	t.Setenv("TERM", "vt100")
	typed := d.types("master password: ", "hunter2 50%")
	if got, err := asks(t, Pinentry("pinentry-tty"), question); err != nil || got != "hunter2 50%" {
		t.Errorf("got %q, %v", got, err)
	}
	<-typed
	if seen := d.seen.String(); !strings.Contains(seen, "secretfs unlocks backend bw") || strings.Contains(seen, "hunter2") {
		t.Errorf("the terminal shows %q", seen)
	}
	if _, err := asks(t, Pinentry("/bin/false"), question); err == nil || !strings.Contains(err.Error(), "it ended without an answer") {
		t.Errorf("one that ends: %v", err)
	}
}
