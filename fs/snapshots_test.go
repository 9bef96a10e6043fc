package fs

import (
	"errors"
	"testing"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/table"
)

func value(t *testing.T, text string) *secret.Value {
	t.Helper()
	v, err := secret.New(len(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Destroy)
	copy(v.Bytes(), text)
	return v
}

// A snapshot that was a dead worker's own is lost: its node gets another one,
// and its handle must never read what has come since.
func TestSnapshotsOfADeadWorker(t *testing.T) {
	f, _, _ := serve(t, true)
	nodes, node := f.cfg.Table, table.NodeID(lookup(t, f))
	old := f.direct.addLocal(value(t, "one secret"))
	nodes.Carry(node, table.Carried{Object: old, Size: 10, Version: "1"})
	if _, err := nodes.Open(100, table.Handle{Node: node, Object: old, Size: 10}); err != nil {
		t.Fatal(err)
	}
	var next snapshots
	next.start(f.cfg)
	if c := nodes.Carried(node); c.Object != 0 {
		t.Errorf("the node still carries %+v", c)
	}
	if next.addLocal(value(t, "another")) == old {
		t.Error("another value has the id of the lost one")
	}
	if _, err := next.get(old, 10); !errors.Is(err, errSnapshotLost) {
		t.Errorf("the lost snapshot: %v", err)
	}
}

// Where there is no memfd_secret(2) snapshots are files of the tmpfs.
func TestSnapshotFiles(t *testing.T) {
	f, _, _ := serve(t, true)
	for _, text := range []string{"", "some value"} {
		file, err := unlinked(f.cfg.Backing, value(t, text))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		v, err := secret.MapFD(int(file.Fd()), len(text))
		if err != nil {
			t.Fatal(err)
		}
		if string(v.Bytes()) != text {
			t.Errorf("got %q, want %q", v.Bytes(), text)
		}
		v.Destroy()
	}
}
