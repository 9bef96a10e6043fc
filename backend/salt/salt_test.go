package salt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/salt"
)

func TestVersions(t *testing.T) {
	saved := make(chan backend.Legacy, 1)
	first, err := salt.Take(backend.Slot{Save: func(l backend.Legacy) { saved <- l }})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	v := first.Version("a", []byte("content"))
	for name, other := range map[string]backend.Version{
		"another content": first.Version("a", []byte("content2")),
		"another key":     first.Version("b", []byte("content")),
		"another border":  first.Version("aco", []byte("ntent")),
	} {
		if other == v {
			t.Errorf("%s: also %s", name, v)
		}
	}
	if v != first.Version("a", []byte("content")) || len(v) > 32 || strings.Contains(string(v), "content") {
		t.Errorf("version %q", v)
	}
	var l backend.Legacy
	select {
	case l = <-saved:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is saved")
	}
	next, err := salt.Take(backend.Slot{Saved: l, Save: func(backend.Legacy) { t.Error("saved again") }})
	if err != nil || next.Version("a", []byte("content")) != v {
		t.Errorf("the next worker has another version: %v", err)
	}
	next.Close()
	l.Rest = append(l.Rest, 'x')
	foreign, err := salt.Take(backend.Slot{Saved: l})
	if err != nil || foreign.Version("a", []byte("content")) == v {
		t.Errorf("what another backend left is used as a salt: %v", err)
	}
	foreign.Close()
	l.Keys.Destroy()
}
