package ask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/secretfs/secretfs/backend/secret"
)

// Pinentry asks through a program that speaks the protocol of GnuPG's pinentry
// (Assuan; info pinentry, "Protocol").
func Pinentry(program string) Asker { return pinentry{program} }

type pinentry struct{ program string }

func (pinentry) Attempts() int { return attempts }

// errCancelled is what the user meant.
var errCancelled = errors.New("cancelled")

// Ask starts the program, has it ask, and ends it.
func (p pinentry) Ask(ctx context.Context, q Question) (*secret.Value, error) {
	cmd := exec.CommandContext(ctx, p.program)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("asking through %s: %w", p.program, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("asking through %s: %w", p.program, err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("asking through %s: %w", p.program, err)
	}
	v, err := converse(in, out, q)
	in.Close()
	_ = cmd.Wait() // it has answered, or its end says no more than err
	if ctx.Err() != nil {
		v.Destroy()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("asking through %s: %w", p.program, err)
	}
	return v, nil
}

// converse is one conversation. Options that a program does not know are none of
// our business.
func converse(in io.Writer, out io.Reader, q Question) (*secret.Value, error) {
	buf, err := secret.New(maxLen)
	if err != nil {
		return nil, err
	}
	defer buf.Destroy()
	r := &assuan{r: out, buf: buf.Bytes()}
	if _, err := r.answer(); err != nil {
		return nil, err
	}
	for _, option := range terminalOptions() {
		fmt.Fprintf(in, "OPTION %s\n", option)
		_, _ = r.answer()
	}
	for _, set := range [][2]string{
		{"SETTITLE", "secretfs"},
		{"SETDESC", "secretfs unlocks " + q.Title},
		{"SETPROMPT", q.Prompt + ":"},
		{"SETERROR", q.Problem},
	} {
		if set[1] == "" {
			continue
		}
		fmt.Fprintf(in, "%s %s\n", set[0], escaped(set[1]))
		if _, err := r.answer(); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(in, "GETPIN")
	data, err := r.answer()
	if err != nil {
		return nil, err
	}
	return copied(data)
}

// terminalOptions tell a pinentry without windows where to ask.
func terminalOptions() []string {
	tty := os.Getenv("GPG_TTY")
	if tty == "" {
		tty = "/dev/tty"
	}
	options := []string{"ttyname=" + tty}
	for option, name := range map[string]string{"ttytype": "TERM", "lc-ctype": "LANG"} {
		if v := os.Getenv(name); v != "" {
			options = append(options, option+"="+v)
		}
	}
	return options
}

// escaped is a text as a parameter of a command.
func escaped(s string) string {
	return strings.NewReplacer("%", "%25", "\n", "%0A", "\r", "%0D").Replace(s)
}

// An assuan connection is read into locked memory.
type assuan struct {
	r   io.Reader
	buf []byte
}

// answer reads lines up to OK or ERR, and gives the data among them, which is
// valid until the next call.
func (a *assuan) answer() (data []byte, err error) {
	at := 0 // where the data ends, and the line begins
	for {
		line, err := a.line(at)
		if err != nil {
			return nil, err
		}
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(word) {
		case "OK":
			return a.buf[:at], nil
		case "ERR":
			return nil, refusal(rest)
		case "D":
			at += unescape(a.buf[at:], rest)
		}
	}
}

// line reads one line into the buffer from at on.
func (a *assuan) line(at int) ([]byte, error) {
	for n := at; n < len(a.buf); n++ {
		if _, err := io.ReadFull(a.r, a.buf[n:n+1]); err != nil {
			return nil, errors.New("it ended without an answer")
		}
		if a.buf[n] == '\n' {
			return a.buf[at:n], nil
		}
	}
	return nil, errors.New("its answer is too long")
}

// unescape writes the bytes that an escaped text stands for over dst, which may
// begin before it in the same memory, and says how many.
func unescape(dst, text []byte) (n int) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) {
			c = hex(text[i+1])<<4 | hex(text[i+2])
			i += 2
		}
		dst[n] = c
		n++
	}
	return n
}

func hex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

// refusal is what ERR means: its low 16 bits are a code of libgpg-error.
func refusal(rest []byte) error {
	const cancelled = 99 // GPG_ERR_CANCELED
	var code int
	if _, err := fmt.Sscan(string(rest), &code); err == nil && code&0xffff == cancelled {
		return errCancelled
	}
	return fmt.Errorf("it answers %q", rest)
}
