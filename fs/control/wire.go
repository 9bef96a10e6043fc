package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"syscall"
)

// errTooLong answers a line that is longer than its limit.
var errTooLong = errors.New("the line is too long")

// readLine decodes one JSON line of at most limit bytes into v. It returns
// io.EOF where the other side closed before a whole line came.
func readLine(r io.Reader, limit int64, v any) error {
	lr := &io.LimitedReader{R: r, N: limit}
	line, err := bufio.NewReader(lr).ReadBytes('\n')
	switch {
	case err != nil && lr.N <= 0:
		return errTooLong
	case errors.Is(err, syscall.ECONNRESET):
		return io.EOF // closed with our request still unread in its buffer
	case err != nil:
		return err
	}
	return json.Unmarshal(line, v)
}

// isTransient says that accept(2) may work again in a moment.
func isTransient(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ECONNABORTED)
}
