package keys

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

// A Request is what a helper is told: one master key and where to find what
// opens it. It is JSON behind its length (4 bytes, big endian). The answer is a
// code (1 byte), a length (4 bytes, big endian) and the data key or a sentence:
// not JSON, so that no copy of the key is made that cannot be wiped.
type Request struct {
	Key MasterKey `json:"key"`
	// Identities are AGE-PLUGIN-… lines, for KindPlugin.
	Identities   []string `json:"identities,omitempty"`
	PluginsPath  string   `json:"plugins_path,omitempty"`
	GnupgHome    string   `json:"gnupg_home,omitempty"`
	GnupgProgram string   `json:"gnupg_program,omitempty"`
	// Milliseconds the asker will wait.
	Milliseconds int64 `json:"ms"`
}

// Limits of the protocol.
const (
	maxRequest  = 1 << 20 // bytes
	maxSentence = 1000    // characters
	// maxTime is the longest a helper lives.
	maxTime = 60 * time.Second
)

// answerCodes are the kinds of answer by code; codes are never reused.
var answerCodes = []error{
	nil, // the data key
	errNoMatch,
	backend.ErrLocked,
	backend.ErrRejected,
	backend.ErrExpired,
	backend.ErrCorrupt,
	backend.ErrUnavailable,
	backend.ErrTimeout,
	backend.ErrUnsupported,
}

func (q *Request) timeout() time.Duration {
	return min(max(time.Duration(q.Milliseconds)*time.Millisecond, 0), maxTime)
}

func writeRequest(w io.Writer, q *Request) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if len(b) > maxRequest {
		return fmt.Errorf("request of %d bytes, expected at most %d", len(b), maxRequest)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readRequest(r io.Reader) (*Request, error) {
	b, err := readFrame(r, maxRequest)
	if err != nil {
		return nil, err
	}
	q := &Request{}
	if json.Unmarshal(b, q) != nil {
		return nil, errors.New("not a request")
	}
	return q, nil
}

// readFrame reads a length and as many bytes. It allocates as they come, not as
// they are announced.
func readFrame(r io.Reader, limit int64) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > limit {
		return nil, fmt.Errorf("frame of %d bytes, expected at most %d", n, limit)
	}
	b, err := io.ReadAll(io.LimitReader(r, n))
	if err == nil && int64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// writeAnswer sends v, or err where v is nil.
func writeAnswer(w io.Writer, v *secret.Value, err error) error {
	code, body := 0, v.Bytes()
	if err != nil {
		code = slices.IndexFunc(answerCodes, func(kind error) bool { return kind != nil && errors.Is(err, kind) })
		body = []byte(printable(err.Error(), maxSentence))
		if code < 0 {
			code, body = slices.Index(answerCodes, backend.ErrUnavailable), []byte("the helper failed")
		}
	}
	head := binary.BigEndian.AppendUint32([]byte{byte(code)}, uint32(len(body)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

// readAnswer gives the data key, or the failure that the helper told. Any other
// error is of the connection. The key goes from the kernel into locked memory.
func readAnswer(r io.Reader) (*secret.Value, error) {
	var code [1]byte
	if _, err := io.ReadFull(r, code[:]); err != nil {
		return nil, err
	}
	switch {
	case int(code[0]) >= len(answerCodes):
		return nil, fmt.Errorf("answer of kind %d, expected less than %d", code[0], len(answerCodes))
	case code[0] == 0:
		return readKey(r)
	}
	text, err := readFrame(r, 4*maxSentence+4)
	if err != nil {
		return nil, err
	}
	return nil, &failure{answerCodes[code[0]], printable(string(text), maxSentence)}
}

func readKey(r io.Reader) (*secret.Value, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > shareLen {
		return nil, fmt.Errorf("data key of %d bytes, expected %d or %d", n, dataKeyLen, shareLen)
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
