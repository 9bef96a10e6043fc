package kernel

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestRotation comes to secrets in every way, with and without a handle open on
// an older version, over three rotations with a SIGKILL of the worker after
// each. No open may fail, and what was opened stays what it was.
func TestRotation(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		var cells []*cell
		for _, name := range slices.Sorted(maps.Keys(ways)) {
			if w := ways[name]; !w.root || os.Geteuid() == 0 {
				cells = append(cells,
					&cell{way: w, name: name, secret: fmt.Sprintf("cell%d", len(cells))},
					&cell{way: w, name: name + ", held", secret: fmt.Sprintf("cell%d", len(cells)+1), hold: true})
			}
		}
		m := harness.New(t, harness.Options{Plain: plainOf(t, cells, 0)})
		for _, c := range cells {
			c.start(t, m)
		}
		for v := 1; v <= 3; v++ {
			for _, c := range cells {
				c.before(t, v-1)
			}
			m.Rotate(plainOf(t, cells, v), "dir/sentinel", versionOf("sentinel", v))
			each(t, fmt.Sprintf("rotation %d", v), cells, func(t *testing.T, c *cell) { c.check(t, v) })
			m.KillWorker()
			each(t, fmt.Sprintf("kill %d", v), cells, func(t *testing.T, c *cell) { c.check(t, v) })
		}
		each(t, "audit", cells, func(t *testing.T, c *cell) { c.audited(t, m) })
		each(t, "closed", cells, func(t *testing.T, c *cell) { c.after(t, 3) })
	})
}

func each(t *testing.T, when string, cells []*cell, f func(*testing.T, *cell)) {
	t.Helper()
	for _, c := range cells {
		t.Run(when+"/"+c.name, func(t *testing.T) { f(t, c) })
	}
}

// versionOf is a value that names its secret and version. Lengths go up and
// down, below a page and beyond.
func versionOf(secret string, v int) string {
	line := fmt.Sprintf("%s in version %d\n", secret, v)
	return strings.Repeat(line, []int{10, 500, 1, 200}[v%4])
}

func plainOf(t *testing.T, cells []*cell, v int) string {
	t.Helper()
	dir := map[string]string{"sentinel": versionOf("sentinel", v)}
	for _, c := range cells {
		dir[c.secret] = versionOf(c.secret, v)
	}
	return toJSON(t, map[string]any{"dir": dir})
}

// A cell of the matrix: a way to a secret of its own, and whether handles stay
// open over rotations.
type cell struct {
	way
	name, secret string
	hold         bool

	path    string // in the mount
	byName  string // with the mount
	open    opener
	handles []*handle
}

// A handle is an open file, and mappings of it, with the version they have.
type handle struct {
	file    *os.File
	maps    [][]byte
	version int
}

// close leaves the mappings.
func (h *handle) close() {
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
}

func (h *handle) end(t *testing.T) {
	h.close()
	for _, m := range h.maps {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}
	h.maps = nil
}

// keepsBusy says that the version is tied to its node. A mapping of direct I/O
// reads through its file, one of passthrough through the backing file.
func (h *handle) keepsBusy() bool {
	user := os.Geteuid() != 0
	return h.file != nil || user && h.maps != nil
}

func (c *cell) start(t *testing.T, m *harness.Mount) {
	t.Helper()
	c.path = "dir/" + c.secret
	c.byName = m.Path(c.path)
	c.open = opensAt(c.byName)
	if c.covered && c.hold {
		c.take(t, 0) // of the secret, before it is covered
	}
	if c.reach != nil {
		c.open = c.reach(t, m, c.path)
	}
}

// take opens a handle and maps it.
func (c *cell) take(t *testing.T, version int) {
	t.Helper()
	f, err := c.open()
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	h := &handle{file: f, version: version}
	t.Cleanup(func() { h.end(t) })
	c.handles = append(c.handles, h)
	info, err := f.Stat()
	if want := len(versionOf(c.secret, version)); err != nil || info.Size() != int64(want) {
		t.Fatalf("%s: %v, %d bytes, want %d", c.name, err, info.Size(), want)
	}
	for _, flags := range []int{unix.MAP_PRIVATE, unix.MAP_SHARED} {
		m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, flags)
		if err != nil {
			t.Fatalf("mapping %s: %v", c.name, err)
		}
		h.maps = append(h.maps, m)
	}
}

// before opens what is to be open over the next rotation. Of a handle that is
// not held its mappings stay all the same.
func (c *cell) before(t *testing.T, v int) {
	t.Helper()
	switch {
	case c.covered:
	case c.again != nil && c.hold && len(c.handles) > 0:
	case c.again != nil:
		for _, h := range c.handles {
			h.end(t)
		}
		c.handles = nil
		c.take(t, v)
	default:
		c.take(t, c.expect(v))
		if !c.hold {
			c.handles[len(c.handles)-1].close()
		}
	}
}

// expect is the version that an open gets while v is the newest.
func (c *cell) expect(v int) int {
	for _, h := range c.handles {
		if c.pinned && h.keepsBusy() {
			return h.version
		}
	}
	return v
}

func (c *cell) check(t *testing.T, v int) {
	for _, h := range c.handles {
		h.check(t, c.secret)
	}
	want := versionOf(c.secret, c.expect(v))
	if c.covered {
		want = cover
	}
	got, err := c.read(t)
	if err != nil {
		t.Errorf("opening anew: %v", err)
	} else if string(got) != want {
		t.Errorf("opening anew: got %d bytes %.30q, want %d bytes %.30q", len(got), got, len(want), want)
	}
	if got, err := os.ReadFile(c.byName); !c.covered && (err != nil || string(got) != versionOf(c.secret, v)) {
		t.Errorf("opening by name: got %d bytes %.30q, %v, want version %d", len(got), got, err, v)
	}
}

func (c *cell) read(t *testing.T) ([]byte, error) {
	if c.again != nil {
		for _, h := range c.handles {
			if h.file != nil {
				return c.again(t, h.file)
			}
		}
	}
	f, err := c.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return whole(t, f)
}

func (h *handle) check(t *testing.T, secret string) {
	t.Helper()
	want := versionOf(secret, h.version)
	if h.file != nil {
		got, err := whole(t, h.file)
		if err != nil || string(got) != want {
			t.Errorf("the open file of version %d: got %d bytes %.30q, %v", h.version, len(got), got, err)
		}
	}
	for i, m := range h.maps {
		if string(m) != want {
			t.Errorf("mapping %d of version %d: got %.30q", i, h.version, m)
		}
	}
}

// audited: what a pinned way gets is recorded as the version that it is.
func (c *cell) audited(t *testing.T, m *harness.Mount) {
	if _, err := c.read(t); err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, r := range m.Audit() {
		if r.Path == c.path {
			versions = append(versions, r.Version)
		}
	}
	switch {
	case c.covered && !c.hold:
		if len(versions) > 0 {
			t.Errorf("recorded %q, though nobody has read the secret", versions)
		}
	case c.covered:
	case c.pinned && c.hold:
		if versions[0] != versions[len(versions)-1] {
			t.Errorf("recorded %q, want the first version for the last read", versions)
		}
	default:
		if n := len(slices.Compact(slices.Sorted(slices.Values(versions)))); n != 4 {
			t.Errorf("recorded %d versions, want 4: %q", n, versions)
		}
	}
}

// after: when the last handle is closed, every way leads to the newest version.
// RELEASE comes a little after close(2).
func (c *cell) after(t *testing.T, v int) {
	for _, h := range c.handles {
		h.end(t)
	}
	c.handles = nil
	if c.again != nil {
		c.take(t, v)
	}
	if !c.covered {
		harness.Eventually(t, c.name+" has the newest version", func() bool {
			got, err := c.read(t)
			if err != nil {
				t.Fatal(err)
			}
			return string(got) == versionOf(c.secret, v)
		})
	}
	c.check(t, v)
}
