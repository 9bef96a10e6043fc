package worker

import (
	"encoding/binary"
	"fmt"

	"github.com/secretfs/secretfs/backend/secret"
)

// frameHead is the length that stands before a state in its memfd, whose own
// size is a multiple of the page's.
const frameHead = 8

func frame(v *secret.Value) (*secret.Value, error) {
	framed, err := secret.New(frameHead + v.Len())
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint64(framed.Bytes(), uint64(v.Len()))
	copy(framed.Bytes()[frameHead:], v.Bytes())
	return framed, nil
}

// unframe maps a framed state twice: for its length, and whole.
func unframe(fd int) (*secret.Value, error) {
	head, err := secret.MapFD(fd, frameHead)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(head.Bytes())
	head.Destroy()
	if n > 1<<30 {
		return nil, fmt.Errorf("reading a kept state: it claims to have %d bytes", n)
	}
	whole, err := secret.MapFD(fd, frameHead+int(n))
	if err != nil {
		return nil, err
	}
	defer whole.Destroy()
	v, err := secret.New(int(n))
	if err != nil {
		return nil, err
	}
	copy(v.Bytes(), whole.Bytes()[frameHead:])
	return v, nil
}
