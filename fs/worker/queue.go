package worker

import "io"

// queueLen is how many lines may wait for a slow reader of stderr.
const queueLen = 1024

// newQueue puts a queue in front of w: a journal that does not read must never
// block a request. Lines that do not fit are lost.
func newQueue(w io.Writer) io.Writer {
	q := make(queue, queueLen)
	go func() {
		for line := range q {
			// Nobody is left to tell that stderr is gone.
			_, _ = w.Write(line)
		}
	}()
	return q
}

type queue chan []byte

// Write never blocks and never fails.
func (q queue) Write(p []byte) (int, error) {
	select {
	case q <- append([]byte(nil), p...):
	default:
	}
	return len(p), nil
}
