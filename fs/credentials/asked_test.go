package credentials_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/credential"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/credentials"
)

// A keeper is where an Asked is kept for the next process.
type keeper struct{ kept backend.Legacy }

func (k *keeper) slot() backend.Slot {
	return backend.Slot{Saved: k.kept, Save: func(l backend.Legacy) {
		k.kept.Keys.Destroy()
		k.kept = l
	}}
}

func ask(field string) credential.Source {
	return credential.Source{Kind: credential.Ask, Field: field}
}

func give(t *testing.T, a *credentials.Asked, field, text string) {
	t.Helper()
	v, err := secret.From([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a.Give(field, v)
}

// holds checks what an Asked has, and its sentence where it has nothing.
func holds(t *testing.T, a *credentials.Asked, field, want string) {
	t.Helper()
	v, err := a.Get(ask(field))
	defer v.Destroy()
	if want == "" {
		if !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), "run secretfs unlock bw") {
			t.Errorf("%s: got %v", field, err)
		}
	} else if err != nil || string(v.Bytes()) != want {
		t.Errorf("%s: got %q, %v, want %q", field, v.Bytes(), err, want)
	}
}

func fields(sources []credential.Source) (names []string) {
	for _, s := range sources {
		names = append(names, s.Field)
	}
	return names
}

func TestAsked(t *testing.T) {
	before := secret.Stats().Values
	k := &keeper{}
	a := credentials.NewAsked("bw", k.slot())
	both := []credential.Source{ask("password"), ask("totp")}
	if got := fields(a.Missing(both)); !slices.Equal(got, []string{"password", "totp"}) {
		t.Errorf("missing: %q", got)
	}
	holds(t, a, "password", "")
	holds(t, a, "password", "")
	if got := fields(a.Wanted()); !slices.Equal(got, []string{"password"}) {
		t.Errorf("wanted: %q", got)
	}
	give(t, a, "totp", "123456")
	give(t, a, "password", password)
	give(t, a, "totp", "7")
	holds(t, a, "password", password)
	holds(t, a, "totp", "7")

	next := credentials.NewAsked("bw", k.slot())
	holds(t, next, "password", password)
	holds(t, next, "totp", "7")
	next.Forget("totp")
	holds(t, next, "totp", "")
	holds(t, next, "password", password)

	last := credentials.NewAsked("bw", k.slot())
	holds(t, last, "password", password)
	holds(t, last, "totp", "")
	closed := credentials.NewAsked("bw", k.slot())
	closed.Close()
	holds(t, closed, "password", "")
	give(t, closed, "password", "of the one before")
	closed.Close()
	kept := credentials.NewAsked("bw", k.slot())
	holds(t, kept, "password", password)
	kept.Close()

	last.Forget()
	holds(t, last, "password", "")
	if got := fields(last.Missing(both)); len(got) != 2 {
		t.Errorf("after all was forgotten there is missing: %q", got)
	}
	holds(t, credentials.NewAsked("bw", k.slot()), "password", "")
	a.Forget()
	next.Forget()
	k.kept.Keys.Destroy()
	if after := secret.Stats().Values; after != before {
		t.Errorf("%d secrets more than before", after-before)
	}
}

// What is not wanted any more, because it was given meanwhile, is not asked for.
func TestWantedMeanwhile(t *testing.T) {
	a := credentials.NewAsked("bw", backend.Slot{})
	holds(t, a, "code", "")
	give(t, a, "code", "1")
	if got := a.Wanted(); len(got) != 0 {
		t.Errorf("wanted: %q", fields(got))
	}
	a.Forget()
}

// Two parts that do not belong together are no use.
func TestAskedTorn(t *testing.T) {
	for _, rest := range []string{`[{"field":"password","len":4}]`, `[{"field":"password","len":-1},{"field":"x","len":6}]`, `[`, ``} {
		v, err := secret.From([]byte("12345"))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, credentials.NewAsked("bw", backend.Slot{Saved: backend.Legacy{Keys: v, Rest: []byte(rest)}}), "password", "")
		v.Destroy()
	}
}
