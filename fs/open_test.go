package fs

import (
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/backendtest"
	"github.com/secretfs/secretfs/fs/caller"
	"github.com/secretfs/secretfs/fs/table"
	"github.com/secretfs/secretfs/policy"
	"github.com/secretfs/secretfs/policy/audit"
	"github.com/secretfs/secretfs/policy/conf"
	"github.com/secretfs/secretfs/policy/gate"
)

// A store counts what is registered.
type store struct{ objects atomic.Int32 }

func (s *store) Register(*os.File, bool) (int32, error) { return s.objects.Add(1), nil }
func (s *store) Drop(...int32) error                    { return nil }
func (s *store) Fetch(int32) (*os.File, error)          { return nil, os.ErrNotExist }

// A quiet kernel takes no notice.
type quiet struct{}

func (quiet) InvalidateInode(uint64) error     { return nil }
func (quiet) ExpireEntry(uint64, string) error { return nil }

// serve is a filesystem without a kernel: one secret, "token", audited. Where it
// is not indexed its version shows once it has been fetched.
func serve(t testing.TB, indexed bool) (*FS, *backendtest.Memory, *store) {
	t.Helper()
	const text = `
backends: {main: {type: memory}}
secrets: {token: {backend: main}}
`
	me := policy.Env{Drivers: map[string]policy.Driver{"memory": {Settings: func(*conf.Node, string, *conf.Problems) any { return nil }}}}
	p, err := policy.Parse("/policy.yaml", []byte(text), me)
	if err != nil {
		t.Fatal(err)
	}
	values := backendtest.NewMemory(map[string]string{"token": "value"})
	var b backend.Backend = values
	if !indexed {
		b = struct{ backend.Backend }{values}
	}
	set, err := backend.NewSet(backend.New(b, backend.Options{Name: "main"}))
	if err != nil {
		t.Fatal(err)
	}
	names := policy.NewNames(policy.NamesConfig{})
	names.Use(p)
	log, err := audit.Open(audit.Config{File: t.TempDir() + "/audit.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	view := &gate.View{Policy: p, Backends: set, Checker: policy.Checker{
		Tree: policy.NewTree(p), Names: names, Executables: policy.NewExecutables(0),
	}}
	return mounted(t, gate.New(view, log), values)
}

func mounted(t testing.TB, g *gate.Gate, values *backendtest.Memory) (*FS, *backendtest.Memory, *store) {
	t.Helper()
	memfd, err := table.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer memfd.Close()
	nodes, err := table.Map(memfd)
	if err != nil {
		t.Fatal(err)
	}
	proc, err := caller.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := new(store)
	f := New(Config{Table: nodes, Gate: g, Proc: proc, Store: s, Backing: dir, Passthrough: true, Log: slog.New(slog.DiscardHandler)})
	f.Attach(quiet{})
	t.Cleanup(func() {
		f.Close()
		dir.Close()
		proc.Close()
		nodes.Close()
	})
	return f, values, s
}

// request is a header as the kernel sends it for this process.
func request(node, unique uint64) fuse.InHeader {
	return fuse.InHeader{NodeId: node, Unique: unique, Caller: fuse.Caller{
		Owner: fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}, Pid: uint32(os.Getpid()),
	}}
}

func lookup(t testing.TB, f *FS) uint64 {
	t.Helper()
	header := request(fuse.FUSE_ROOT_ID, 2)
	var entry fuse.EntryOut
	if st := f.Lookup(nil, &header, "token", &entry); !st.Ok() {
		t.Fatal(st)
	}
	return entry.NodeId
}

// Everybody who opens a secret that nobody has read waits for one decryption
// and reads from one file.
func TestOpensOfOneColdSecretShareAFetch(t *testing.T) {
	t.Run("indexed", func(t *testing.T) { burst(t, true) })
	t.Run("not indexed", func(t *testing.T) { burst(t, false) })
}

func burst(t *testing.T, indexed bool) {
	f, values, s := serve(t, indexed)
	node := lookup(t, f)
	release := values.Hang("token")
	const opens = 1000
	var done sync.WaitGroup
	backing := make([]int32, opens)
	for i := range opens {
		done.Go(func() {
			in := fuse.OpenIn{InHeader: request(node, uint64(2*i+4))}
			var out fuse.OpenOut
			if st := f.Open(nil, &in, &out); !st.Ok() {
				t.Errorf("open %d: %v", i, st)
			}
			backing[i] = out.BackingID
		})
	}
	for waiting(f, node) < opens {
		time.Sleep(time.Millisecond)
	}
	release()
	done.Wait()
	if got := values.Gets("token"); got != 1 {
		t.Errorf("%d opens fetched %d times, want once", opens, got)
	}
	if got := s.objects.Load(); got != 1 {
		t.Errorf("%d opens registered %d files, want one", opens, got)
	}
	for i, id := range backing {
		if id != 1 {
			t.Fatalf("open %d reads from backing file %d, want 1", i, id)
		}
	}
}

// A name may lead back to a busy node for a moment, between the ESTALE and the
// LOOKUP that follows it: the reader gets the new version all the same.
func TestRetryFindsTheNewVersionWhereverTheNameLeads(t *testing.T) {
	f, values, s := serve(t, true)
	node := lookup(t, f)
	open := func(node, unique uint64) (fuse.OpenOut, fuse.Status) {
		in := fuse.OpenIn{InHeader: request(node, unique)}
		var out fuse.OpenOut
		return out, f.Open(nil, &in, &out)
	}
	if _, st := open(node, 4); !st.Ok() {
		t.Fatal(st)
	}
	values.Put("token", "rotated")
	if _, st := open(node, 6); st != fuse.Status(unix.ESTALE) {
		t.Fatalf("the busy node answers %v", st)
	}
	f.lead("token", table.NodeID(node)) // as Tell does
	next := lookup(t, f)
	if next == node {
		t.Fatal("the name leads to the node that was stale")
	}
	in := fuse.OpenIn{InHeader: request(next, 8)}
	var out fuse.OpenOut
	if st := f.Open(nil, &in, &out); !st.Ok() || s.objects.Load() != 2 || out.BackingID != 2 {
		t.Errorf("%v, reads from %d of %d files", st, out.BackingID, s.objects.Load())
	}
	if other := lookup(t, f); other != node {
		t.Errorf("who was not told ESTALE is sent to node %d, the name leads to %d", other, node)
	}
}

// waiting is how many openers of a node hold its lock or want it.
func waiting(f *FS, node uint64) int {
	f.locks.mu.Lock()
	defer f.locks.mu.Unlock()
	if l := f.locks.held[table.NodeID(node)]; l != nil {
		return l.wanted
	}
	return 0
}

// BenchmarkOpen is the part of open+read+close that is ours: OPEN and RELEASE,
// without the kernel and go-fuse.
func BenchmarkOpen(b *testing.B) {
	f, _, _ := serve(b, true)
	node := lookup(b, f)
	unique := uint64(2)
	b.ReportAllocs()
	for b.Loop() {
		unique += 2
		in := fuse.OpenIn{InHeader: request(node, unique)}
		var out fuse.OpenOut
		if st := f.Open(nil, &in, &out); !st.Ok() {
			b.Fatal(st)
		}
		f.Release(nil, &fuse.ReleaseIn{InHeader: request(node, unique+1), Fh: out.Fh})
	}
}
