package helper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// Limits of the protocol.
const (
	maxQuestion = 1 << 20 // bytes
	maxSecrets  = 16
	maxSecret   = 1 << 20 // bytes, of one that goes with a question
	maxSentence = 1000    // characters
	// maxTime is the longest a helper lives.
	maxTime = 60 * time.Second
)

// answerCodes are the kinds of answer by code; codes are never reused.
var answerCodes = []error{
	nil, // the secret
	ErrNotMine,
	backend.ErrLocked,
	backend.ErrRejected,
	backend.ErrExpired,
	backend.ErrCorrupt,
	backend.ErrUnavailable,
	backend.ErrTimeout,
	backend.ErrUnsupported,
	backend.ErrNotFound,
}

// A head is what the first frame of a question holds.
type head struct {
	Body json.RawMessage `json:"body"`
	// Milliseconds the asker will wait.
	Milliseconds int64 `json:"ms"`
	Secrets      int   `json:"secrets,omitempty"` // frames that follow
}

func (h *head) timeout() time.Duration {
	return min(max(time.Duration(h.Milliseconds)*time.Millisecond, 0), maxTime)
}

func writeQuestion(w io.Writer, body any, wait time.Duration, secrets []*secret.Value) error {
	h := head{Milliseconds: wait.Milliseconds(), Secrets: len(secrets)}
	var err error
	if h.Body, err = json.Marshal(body); err != nil {
		return err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(b) > maxQuestion || len(secrets) > maxSecrets {
		return fmt.Errorf("question of %d bytes and %d secrets, expected at most %d and %d", len(b), len(secrets), maxQuestion, maxSecrets)
	}
	if err := writeFrame(w, b); err != nil {
		return err
	}
	for _, v := range secrets {
		if err := writeFrame(w, v.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func readQuestion(r io.Reader) (*Question, error) {
	b, err := readFrame(r, maxQuestion)
	if err != nil {
		return nil, err
	}
	var h head
	if json.Unmarshal(b, &h) != nil || h.Secrets < 0 || h.Secrets > maxSecrets {
		return nil, errors.New("not a question")
	}
	q := &Question{Body: h.Body, Time: h.timeout()}
	for range h.Secrets {
		v, err := readSecret(r, maxSecret)
		if err != nil {
			q.destroy()
			return nil, err
		}
		q.Secrets = append(q.Secrets, v)
	}
	return q, nil
}

func writeFrame(w io.Writer, b []byte) error {
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil
	}
	_, err := w.Write(b)
	return err
}

// readFrame reads a length and as many bytes. It allocates as they come, not as
// they are announced.
func readFrame(r io.Reader, limit int64) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	if n > limit {
		return nil, fmt.Errorf("frame of %d bytes, expected at most %d", n, limit)
	}
	b, err := io.ReadAll(io.LimitReader(r, n))
	if err == nil && int64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// readSecret is readFrame from the kernel into locked memory.
func readSecret(r io.Reader, limit int) (*secret.Value, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if int64(n) > int64(limit) {
		return nil, fmt.Errorf("secret of %d bytes, expected at most %d", n, limit)
	}
	v, err := secret.New(int(n))
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, v.Bytes()); err != nil {
		v.Destroy()
		return nil, err
	}
	return v, nil
}

// writeAnswer sends v, or err where v is nil.
func writeAnswer(w io.Writer, v *secret.Value, err error) error {
	code, body := 0, v.Bytes()
	if err != nil {
		code = slices.IndexFunc(answerCodes, func(kind error) bool { return kind != nil && errors.Is(err, kind) })
		body = []byte(Printable(err.Error(), maxSentence))
		if code < 0 {
			code, body = slices.Index(answerCodes, backend.ErrUnavailable), []byte("the helper failed")
		}
	}
	if _, err := w.Write([]byte{byte(code)}); err != nil {
		return err
	}
	return writeFrame(w, body)
}

// readAnswer gives the secret, or the Failure that the helper told. Any other
// error is of the connection.
func readAnswer(r io.Reader, limit int) (*secret.Value, error) {
	var code [1]byte
	if _, err := io.ReadFull(r, code[:]); err != nil {
		return nil, err
	}
	switch {
	case int(code[0]) >= len(answerCodes):
		return nil, fmt.Errorf("answer of kind %d, expected less than %d", code[0], len(answerCodes))
	case code[0] == 0:
		return readSecret(r, limit)
	}
	text, err := readFrame(r, 4*maxSentence+4)
	if err != nil {
		return nil, err
	}
	return nil, &Failure{answerCodes[code[0]], Printable(string(text), maxSentence)}
}
