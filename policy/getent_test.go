package policy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/policy"
)

func TestGetent(t *testing.T) {
	for db, name := range map[policy.Database]string{policy.Users: "root", policy.Groups: "root"} {
		if id, err := policy.Getent(t.Context(), db, name); id != 0 || err != nil {
			t.Errorf("%s of %s is %d, %v", name, db, id, err)
		}
	}
	_, err := policy.Getent(t.Context(), policy.Users, "no-such-user-here")
	if !errors.Is(err, policy.ErrNoSuchName) || err.Error() != `asking getent passwd for "no-such-user-here": no such name` {
		t.Errorf("an unknown user gives %v", err)
	}
}

// fakeGetent puts a script before the real program.
func fakeGetent(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestGetentAnswers(t *testing.T) {
	for _, c := range []struct {
		name, script, want string
		id                 uint32
	}{
		{"an answer", `test "$1 $2" = "passwd svc" && echo svc:x:61234:61234:Dynamic:/:/bin/false`, "", 61234},
		{"a name in another form", `echo "DOMAIN\\svc:*:5:6::/:"`, "", 5},
		{"no answer", "exit 0", "want a line of at least 3 fields, have 1", 0},
		{"no number", "echo svc:x:y:0", `want an id in field 3, have "y"`, 0},
		{"the id that means none", "echo svc:x:4294967295:0", `want an id in field 3, have "4294967295"`, 0},
		{"an unknown database", "exit 1", "exit status 1", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakeGetent(t, c.script)
			id, err := policy.Getent(t.Context(), policy.Users, "svc")
			if c.want == "" {
				if id != c.id || err != nil {
					t.Errorf("got %d, %v", id, err)
				}
				return
			}
			if err == nil || errors.Is(err, policy.ErrNoSuchName) || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestGetentEndsWithContext(t *testing.T) {
	fakeGetent(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := policy.Getent(ctx, policy.Users, "svc"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a getent that hangs gives %v", err)
	}
}

func TestGetentTakesNoOptions(t *testing.T) {
	fakeGetent(t, "echo x:x:0:0")
	if id, err := policy.Getent(t.Context(), policy.Users, "--service=files"); err == nil {
		t.Errorf("an option as name gives %d", id)
	}
}
