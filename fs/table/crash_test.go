package table

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

const envCrash = "TABLE_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(envCrash) != "" {
		scribble()
	}
	os.Exit(m.Run())
}

// scribble writes to the table on descriptor 3 until it is killed. Object, size
// and version always belong together: object o has size 1000*o and version "o".
func scribble() {
	n, err := Map(os.NewFile(3, "table"))
	if err != nil {
		panic(err)
	}
	fmt.Println("scribbling")
	for i := int32(1); ; i++ {
		id, err := n.Intern(fmt.Sprintf("dir%d/file%d", i%7, i%61), false)
		if err != nil {
			panic(err)
		}
		if i%5 == 0 && len(n.Incarnations(id)) < 4 {
			if id, err = n.AddIncarnation(id); err != nil {
				panic(err)
			}
			n.SetCurrent(id)
		}
		n.Carry(id, Carried{Object: i, Size: 1000 * int64(i), Version: fmt.Sprint(i)})
		n.See(id, fmt.Sprint(i), int64(i))
		fh, err := n.Open(uint64(i), Handle{Node: id, Object: i, Size: 1000 * int64(i)})
		if err != nil {
			panic(err)
		}
		n.SetRetry(uint32(i), id, uint64(i))
		if i%3 != 0 {
			n.Release(fh)
		}
	}
}

// TestKilledBetweenTwoStores kills writers at arbitrary moments; what each
// leaves has to hold together for the next.
func TestKilledBetweenTwoStores(t *testing.T) {
	_, f := newTable(t)
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), envCrash+"=1")
		cmd.ExtraFiles = []*os.File{f}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i*137) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		consistent(t, remap(t, f))
	}
}

// consistent checks what a worker that adopts n relies on.
func consistent(t *testing.T, n *Table) {
	t.Helper()
	paths := make(map[string]NodeID)
	n.Each(func(id NodeID, path string, _ bool) {
		if other, ok := paths[path]; ok {
			t.Errorf("%q has primaries %d and %d", path, other, id)
		}
		paths[path] = id
		current, ok := n.Find(path)
		if !ok || n.Primary(current) != id {
			t.Errorf("%q leads to node %d, which belongs to %d", path, current, n.Primary(current))
		}
		for _, k := range n.Incarnations(id) {
			if p, _, ok := n.Path(k); !ok || p != path {
				t.Errorf("node %d of %q has path %q", k, path, p)
			}
		}
	})
	n.EachCarried(func(id NodeID, c Carried) {
		if c.Size != 1000*int64(c.Object) || c.Version != fmt.Sprint(c.Object) {
			t.Errorf("node %d carries a mixture: %+v", id, c)
		}
	})
	for i := range n.head.handles.Load() {
		r := &n.handles[i]
		if r.state.Load() == 0 {
			continue
		}
		h, ok := n.Handle(fh(i, r.gen))
		if !ok || h.Size != 1000*int64(h.Object) || r.unique != uint64(h.Object) {
			t.Errorf("handle %d is a mixture: %+v, request %d", i, h, r.unique)
		}
		if _, _, ok := n.Path(h.Node); !ok {
			t.Errorf("handle %d is on node %d, which nobody knows", i, h.Node)
		}
	}
}
