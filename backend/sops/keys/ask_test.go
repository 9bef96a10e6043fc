package keys_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/helper/helpertest"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

var cloudFile = keys.Metadata{Groups: []keys.Group{{{
	Type: keys.AWSKMS, Fields: map[string]string{"arn": "arn:aws:kms:x", "enc": "AA=="}, Context: map[string]string{"a": "b"},
}}}}

// solvedBy has solve answer in this process.
func solvedBy(solve keys.Solver) helper.Starter {
	return func(context.Context, backend.HelperCall) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go keys.Answer(theirs, solve)
		return ours, nil
	}
}

func gives(n int) keys.Solver {
	return func(_ context.Context, q *keys.Request) (*secret.Value, error) {
		if q.Key.Context["a"] != "b" || q.Key.Fields["enc"] != "AA==" {
			return nil, helper.Refuse(backend.ErrRejected, "the request is not complete")
		}
		return secret.New(n)
	}
}

func TestAsk(t *testing.T) {
	v, err := keys.New(keys.Config{}, solvedBy(gives(32))).DataKey(t.Context(), cloudFile)
	if err != nil || v.Len() != 32 {
		t.Fatalf("got the error %v, expected the key", err)
	}
	v.Destroy()
	for name, tt := range map[string]struct {
		start helper.Starter
		kind  error
		want  string
	}{
		"refused": {solvedBy(func(context.Context, *keys.Request) (*secret.Value, error) {
			return nil, helper.Refuse(backend.ErrExpired, "because of 7")
		}), backend.ErrExpired, "because of 7"},
		"short key":  {solvedBy(gives(16)), backend.ErrCorrupt, "the data key has 16 bytes, expected 32"},
		"empty key":  {solvedBy(gives(0)), backend.ErrUnavailable, "data key of 0 bytes"},
		"huge key":   {solvedBy(gives(34)), backend.ErrUnavailable, "secret of 34 bytes"},
		"no program": {helpertest.Exec{Commands: map[string][]string{keys.KindKeys: {"/nonexistent/secretfs-keys"}}}.Run, backend.ErrLocked, "no such file"},
		"no command": {helpertest.Exec{}.Run, backend.ErrUnavailable, "no command is configured"},
		"none":       {nil, backend.ErrLocked, `needs the helper "keys", and none is configured`},
	} {
		_, err := keys.New(keys.Config{}, tt.start).DataKey(t.Context(), cloudFile)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got the error %v, expected %v: …%s…", name, err, tt.kind, tt.want)
		}
	}
}
