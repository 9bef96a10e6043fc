package keys

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A pipeRunner has solve answer in this process.
type pipeRunner struct{ solve Solver }

func (p pipeRunner) Run(context.Context, backend.HelperCall) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go Answer(theirs, p.solve)
	return ours, nil
}

// A rawRunner answers every request with the same bytes.
type rawRunner string

func (raw rawRunner) Run(context.Context, backend.HelperCall) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := readRequest(theirs); err == nil {
			theirs.Write([]byte(raw))
		}
	}()
	return ours, nil
}

var cloudFile = Metadata{Groups: []Group{{{Type: AWSKMS, Fields: map[string]string{"arn": "arn:aws:kms:x", "enc": "AA=="}, Context: map[string]string{"a": "b"}}}}}

func TestEveryKindOfAnswerPasses(t *testing.T) {
	for _, kind := range answerCodes[2:] {
		ring := New(Config{}, pipeRunner{func(context.Context, *Request) (*secret.Value, error) {
			return nil, Refuse(kind, "because\nof %d", 7)
		}})
		_, err := ring.DataKey(t.Context(), cloudFile)
		if !errors.Is(err, kind) || err.Error() != "because of 7" {
			t.Errorf("got the error %v, expected %v: because of 7", err, kind)
		}
	}
}

func TestAnswers(t *testing.T) {
	key := bytes.Repeat([]byte{7}, dataKeyLen)
	ring := New(Config{}, pipeRunner{func(_ context.Context, q *Request) (*secret.Value, error) {
		if q.Key.Context["a"] != "b" || q.Key.Fields["enc"] != "AA==" || q.Milliseconds <= 0 {
			return nil, Refuse(backend.ErrRejected, "the request is not complete")
		}
		return secret.From(bytes.Clone(key))
	}})
	v, err := ring.DataKey(t.Context(), cloudFile)
	if err != nil || !bytes.Equal(v.Bytes(), key) {
		t.Fatalf("got the error %v, expected the key", err)
	}
	v.Destroy()

	for name, tt := range map[string]struct {
		run  Runner
		kind error
		want string
	}{
		"foreign error": {pipeRunner{func(context.Context, *Request) (*secret.Value, error) { return nil, errors.New("token 123") }}, backend.ErrUnavailable, "the helper failed"},
		"short key":     {pipeRunner{func(context.Context, *Request) (*secret.Value, error) { return secret.From(make([]byte, 16)) }}, backend.ErrCorrupt, "the data key has 16 bytes, expected 32"},
		"no answer":     {rawRunner(""), backend.ErrUnavailable, "reading the answer: EOF"},
		"cut off":       {rawRunner("\x00\x00\x00\x00\x20abc"), backend.ErrUnavailable, "unexpected EOF"},
		"empty key":     {rawRunner("\x00\x00\x00\x00\x00"), backend.ErrUnavailable, "data key of 0 bytes"},
		"huge key":      {rawRunner("\x00\x7f\x00\x00\x00"), backend.ErrUnavailable, "data key of 2130706432 bytes"},
		"huge sentence": {rawRunner("\x02\x7f\x00\x00\x00"), backend.ErrUnavailable, "frame of 2130706432 bytes"},
		"unknown kind":  {rawRunner("\x63\x00\x00\x00\x00"), backend.ErrUnavailable, "answer of kind 99"},
		"no program":    {Exec{Commands: map[string][]string{KindKeys: {"/nonexistent/secretfs-keys"}}}, backend.ErrLocked, "no such file"},
		"no command":    {Exec{}, backend.ErrUnavailable, "no command is configured"},
	} {
		_, err := New(Config{}, tt.run).DataKey(t.Context(), cloudFile)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got the error %v, expected %v: …%s…", name, err, tt.kind, tt.want)
		}
	}
}

func TestAnswerEnds(t *testing.T) {
	stuck := func(context.Context, *Request) (*secret.Value, error) { select {} }
	t.Run("at the deadline", func(t *testing.T) {
		ours, theirs := net.Pipe()
		go Answer(theirs, stuck)
		if err := writeRequest(ours, &Request{Milliseconds: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := readAnswer(ours); !errors.Is(err, backend.ErrTimeout) {
			t.Errorf("got the error %v, expected a timeout", err)
		}
	})
	t.Run("when the asker hangs up", func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- Answer(theirs, stuck) }()
		if err := writeRequest(ours, &Request{Milliseconds: 50_000}); err != nil {
			t.Fatal(err)
		}
		ours.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Error("still there")
		}
	})
	t.Run("on nonsense", func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() { ours.Write([]byte("\x00\x00\x00\x02{]")) }()
		if err := Answer(theirs, stuck); err == nil {
			t.Error("no error")
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	var b bytes.Buffer
	q := &Request{Key: cloudFile.Groups[0][0], Identities: []string{"AGE-PLUGIN-X-1"}, GnupgHome: "/root/.gnupg", Milliseconds: 5}
	if err := writeRequest(&b, q); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		q, err := readRequest(bytes.NewReader(in))
		if err != nil {
			return
		}
		if d := q.timeout(); d < 0 || d > maxTime {
			t.Errorf("timeout %v", d)
		}
		var again bytes.Buffer
		if err := writeRequest(&again, q); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	for _, kind := range answerCodes[1:] {
		var b bytes.Buffer
		if err := writeAnswer(&b, nil, Refuse(kind, "a sentence")); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	key, err := secret.New(dataKeyLen)
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeAnswer(&b, key, nil); err != nil {
		f.Fatal(err)
	}
	key.Destroy()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := readAnswer(bytes.NewReader(in))
		defer v.Destroy()
		if err == nil && (v.Len() == 0 || v.Len() > shareLen || v.Len() > len(in)) {
			t.Errorf("a key of %d bytes out of %d", v.Len(), len(in))
		}
		if told := (*failure)(nil); errors.As(err, &told) && (told.kind == nil || strings.ContainsAny(told.text, "\n\x00\x1b")) {
			t.Errorf("kind %v, sentence %q", told.kind, told.text)
		}
	})
}
