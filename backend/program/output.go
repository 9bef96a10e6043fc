package program

import (
	"bytes"
	"fmt"
	"io"

	"github.com/secretfs/secretfs/backend/secret"
)

// firstRoom is for output of an unknown length, in bytes.
const firstRoom = 4096

// An output is what a program prints, in locked memory. It can be used once.
type output struct {
	mem    *secret.Value
	n, max int
	err    error // why the output is of no use
}

var _ io.ReaderFrom = (*output)(nil)

// Write is not for use: package os/exec prefers ReadFrom.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.ReadFrom(bytes.NewReader(p))
	return int(n), err
}

// ReadFrom takes what comes from a pipe, without a copy elsewhere.
func (o *output) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if o.err = o.room(); o.err != nil {
			return n, o.err
		}
		read, err := r.Read(o.mem.Bytes()[o.n:])
		o.n += read
		n += int64(read)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// room makes room for at least one byte more than max.
func (o *output) room() error {
	if o.n > o.max {
		return fmt.Errorf("it prints more than %d bytes", o.max)
	}
	if o.n < o.mem.Len() {
		return nil
	}
	mem, err := secret.New(min(max(2*o.n, firstRoom), o.max+1))
	if err != nil {
		return err
	}
	copy(mem.Bytes(), o.bytes())
	o.mem.Destroy()
	o.mem = mem
	return nil
}

func (o *output) bytes() []byte { return o.mem.Bytes()[:o.n] }

// value is a copy of the right length.
func (o *output) value() (*secret.Value, error) {
	v, err := secret.New(o.n)
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), o.bytes())
	return v, nil
}
