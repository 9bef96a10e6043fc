package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/control"
)

func typed(t *testing.T, field, text string) control.Typed {
	t.Helper()
	v, err := secret.From([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Destroy)
	return control.Typed{Field: field, Value: v}
}

// echo answers an unlock with what was typed, which no other handler may do.
func echo(ctx context.Context, args json.RawMessage) (any, error) {
	var r control.UnlockRequest
	if err := json.Unmarshal(args, &r); err != nil {
		return nil, err
	}
	got, err := control.Read(ctx, r.Fields)
	if err != nil {
		return nil, err
	}
	defer control.Wipe(got)
	text := r.Backend
	for _, g := range got {
		text += fmt.Sprintf(" %s=%s", g.Field, g.Value.Bytes())
	}
	return control.UnlockAnswer{Error: text, Asks: []control.Question{{Field: "code", Prompt: "code"}}}, nil
}

func TestUnlock(t *testing.T) {
	client := serve(t, map[string]control.Handler{control.CmdUnlock: echo})
	long := strings.Repeat("x", 60000) // more than a socket takes at once
	for _, c := range []struct {
		typed []control.Typed
		want  string
	}{
		{nil, "bw"},
		{[]control.Typed{typed(t, "password", "a b\n\"c")}, "bw password=a b\n\"c"},
		{[]control.Typed{typed(t, "password", ""), typed(t, "totp", "1")}, "bw password= totp=1"},
		{[]control.Typed{typed(t, "a", long), typed(t, "b", long), typed(t, "c", "end")}, "bw a=" + long + " b=" + long + " c=end"},
	} {
		answer, err := client.Unlock(guard(t), "bw", c.typed)
		if err != nil || answer.Error != c.want || len(answer.Asks) != 1 {
			t.Errorf("got %.100q, %v, want %.100q", answer.Error, err, c.want)
		}
	}
}

// Who does not read what was typed keeps nobody waiting, and whoever sends less
// than announced is refused.
func TestUnlockRefused(t *testing.T) {
	client := serve(t, map[string]control.Handler{
		control.CmdUnlock: func(ctx context.Context, args json.RawMessage) (any, error) {
			return nil, &control.Error{Sentence: "no such backend", Code: 1}
		},
		control.CmdStatus: echo,
	})
	_, err := client.Unlock(guard(t), "bw", []control.Typed{typed(t, "a", strings.Repeat("x", 200000))})
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Sentence != "no such backend" {
		t.Errorf("got %v", err)
	}
	err = client.Call(guard(t), control.CmdStatus, control.UnlockRequest{Fields: []control.Field{{Name: "a", Len: 1}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "what was typed did not come along") {
		t.Errorf("without a pipe: %v", err)
	}
}

func TestUnlockTooLong(t *testing.T) {
	client := serve(t, map[string]control.Handler{control.CmdUnlock: echo})
	for want, list := range map[string][]control.Typed{
		"the a has 70000 bytes, expected at most 65536": {typed(t, "a", strings.Repeat("x", 70000))},
		"did not come along":                            make([]control.Typed, 17),
	} {
		for i := range list {
			if list[i].Value == nil {
				list[i] = typed(t, "f", "x")
			}
		}
		if _, err := client.Unlock(guard(t), "bw", list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
