package helper

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// inProcess has solve answer in this process.
func inProcess(solve Solver) Starter {
	return func(context.Context, backend.HelperCall) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go Answer(theirs, solve)
		return ours, nil
	}
}

// raw answers every question with the same bytes.
func raw(answer string) Starter {
	return func(context.Context, backend.HelperCall) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if _, err := readQuestion(theirs); err == nil {
				theirs.Write([]byte(answer))
			}
		}()
		return ours, nil
	}
}

func TestEveryKindOfAnswerPasses(t *testing.T) {
	for _, kind := range answerCodes[1:] {
		ask := Ask{Body: 1, Limit: 10}
		_, err := ask.Do(t.Context(), inProcess(func(context.Context, *Question) (*secret.Value, error) {
			return nil, Refuse(kind, "because\nof %d", 7)
		}))
		if !errors.Is(err, kind) || err.Error() != "because of 7" {
			t.Errorf("got the error %v, expected %v: because of 7", err, kind)
		}
	}
}

func TestSecretsPass(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), maxSecret/16)
	var with []*secret.Value
	for _, b := range [][]byte{[]byte("one"), {}, bytes.Clone(long)} {
		v, err := secret.From(b)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Destroy()
		with = append(with, v)
	}
	var kept []*secret.Value
	ask := Ask{Body: map[string]string{"a": "b"}, Secrets: with, Limit: maxSecret}
	v, err := ask.Do(t.Context(), inProcess(func(_ context.Context, q *Question) (*secret.Value, error) {
		var body map[string]string
		kept = q.Secrets
		if err := q.Decode(&body); err != nil || body["a"] != "b" || q.Time <= 0 || len(q.Secrets) != 3 || q.Secrets[1].Len() != 0 {
			return nil, Refuse(backend.ErrRejected, "the question is not complete")
		}
		return q.Secrets[2].Share(), nil
	}))
	if err != nil || !bytes.Equal(v.Bytes(), long) {
		t.Fatalf("got %d bytes, %v", v.Len(), err)
	}
	v.Destroy()
	for i, v := range kept {
		if v.Bytes() != nil {
			t.Errorf("secret %d of the question is still there", i)
		}
	}
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		start Starter
		kind  error
		want  string
	}{
		"foreign error": {inProcess(func(context.Context, *Question) (*secret.Value, error) { return nil, errors.New("token 123") }), backend.ErrUnavailable, "the helper failed"},
		"no answer":     {raw(""), backend.ErrUnavailable, "reading the answer: EOF"},
		"cut off":       {raw("\x00\x00\x00\x00\x20abc"), backend.ErrUnavailable, "unexpected EOF"},
		"huge secret":   {raw("\x00\x7f\x00\x00\x00"), backend.ErrUnavailable, "secret of 2130706432 bytes"},
		"huge sentence": {raw("\x02\x7f\x00\x00\x00"), backend.ErrUnavailable, "frame of 2130706432 bytes"},
		"unknown kind":  {raw("\x63\x00\x00\x00\x00"), backend.ErrUnavailable, "answer of kind 99"},
		"none":          {nil, backend.ErrUnavailable, "no helper can be started here"},
		"no program": {func(context.Context, backend.HelperCall) (net.Conn, error) {
			return nil, &fs.PathError{Op: "exec", Path: "x", Err: fs.ErrNotExist}
		}, backend.ErrLocked, `the helper "k" is needed`},
	} {
		ask := Ask{Call: backend.HelperCall{Kind: "k"}, Limit: 33}
		_, err := ask.Do(t.Context(), tt.start)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got the error %v, expected %v: …%s…", name, err, tt.kind, tt.want)
		}
	}
}

func TestAskEnds(t *testing.T) {
	silent := func(context.Context, backend.HelperCall) (net.Conn, error) {
		ours, _ := net.Pipe()
		return ours, nil
	}
	ask := Ask{Limit: 1}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ask.Do(ctx, silent); !errors.Is(err, backend.ErrTimeout) {
		t.Errorf("at the deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := ask.Do(ctx, silent); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAnswerEnds(t *testing.T) {
	stuck := func(context.Context, *Question) (*secret.Value, error) { select {} }
	t.Run("at the deadline", func(t *testing.T) {
		ours, theirs := net.Pipe()
		go Answer(theirs, stuck)
		if err := writeQuestion(ours, 1, time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := readAnswer(ours, 1); !errors.Is(err, backend.ErrTimeout) {
			t.Errorf("got the error %v, expected a timeout", err)
		}
	})
	t.Run("when the asker hangs up", func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- Answer(theirs, stuck) }()
		if err := writeQuestion(ours, 1, 50*time.Second, nil); err != nil {
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

func FuzzReadQuestion(f *testing.F) {
	var b bytes.Buffer
	v, err := secret.From([]byte("beside"))
	if err != nil {
		f.Fatal(err)
	}
	defer v.Destroy()
	if err := writeQuestion(&b, map[string]int{"a": 1}, time.Second, []*secret.Value{v}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		q, err := readQuestion(bytes.NewReader(in))
		if err != nil {
			return
		}
		defer q.destroy()
		if q.Time < 0 || q.Time > maxTime {
			t.Errorf("time %v", q.Time)
		}
		if q.Body == nil {
			return
		}
		var again bytes.Buffer
		if err := writeQuestion(&again, q.Body, q.Time, q.Secrets); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	const limit = 33
	for _, kind := range answerCodes[1:] {
		var b bytes.Buffer
		if err := writeAnswer(&b, nil, Refuse(kind, "a sentence")); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	v, err := secret.New(32)
	if err != nil {
		f.Fatal(err)
	}
	defer v.Destroy()
	var b bytes.Buffer
	if err := writeAnswer(&b, v, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := readAnswer(bytes.NewReader(in), limit)
		defer v.Destroy()
		if err == nil && (v.Len() > limit || v.Len() > len(in)) {
			t.Errorf("a secret of %d bytes out of %d", v.Len(), len(in))
		}
		if told := (*Failure)(nil); errors.As(err, &told) && (told.kind == nil || strings.ContainsAny(told.text, "\n\x00\x1b")) {
			t.Errorf("kind %v, sentence %q", told.kind, told.text)
		}
	})
}
