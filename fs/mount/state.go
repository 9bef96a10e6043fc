package mount

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stateEnv names the descriptor of the state that a holder leaves to the one
// that takes its place by exec.
const stateEnv = "SECRETFS_STATE_FD"

// A state is all that a holder knows and descriptors do not tell.
type state struct {
	Plan     Plan       `json:"plan"`
	System   bool       `json:"system"`
	MountID  int        `json:"mount_id"`
	Agreed   Negotiated `json:"agreed"`
	Restarts int        `json:"restarts"`
	NextID   int32      `json:"next_id"`
	Backings []int32    `json:"backings"`
	Notices  []string   `json:"notices"`
	Since    time.Time  `json:"since"`
	// Files are descriptor numbers by name; only set over an exec.
	Files map[string]int `json:"files,omitempty"`
	// Helpers are those that run; only set over an exec, which leaves them
	// children of this process.
	Helpers []helperLeft `json:"helpers,omitempty"`
	// Worker is the pid of the worker that serves, and WorkerStart when that
	// process began (field 22 of proc_pid_stat(5)). Over an exec its link is
	// among the files.
	Worker      int    `json:"worker,omitempty"`
	WorkerStart string `json:"worker_start,omitempty"`
	// Seq counts the states that were stored with the service manager, and
	// Stored names what lies there beside.
	Seq    int      `json:"seq,omitempty"`
	Stored []string `json:"stored,omitempty"`
}

// The names of descriptors that outlive a holder. Kept files and snapshots
// have prefixes.
const (
	fileDev     = "dev"
	fileClone   = "clone"
	fileParent  = "parent"
	fileTable   = "table"
	fileStore   = "store"
	fileControl = "control"
	fileLock    = "lock"
	fileLink    = "link"
	fileState   = "state"
	prefixKept  = "kept-"
	prefixSnap  = "snap-"
)

func (h *Holder) snapshotState() state {
	s := state{
		Plan: h.plan, System: h.m.system, MountID: h.m.id, Agreed: h.m.agreed,
		Restarts: h.restarts, NextID: h.nextID, Notices: h.notices, Since: h.since,
	}
	for id := range h.backings {
		s.Backings = append(s.Backings, id)
	}
	if h.shelf != nil {
		s.Seq = h.shelf.seq
	}
	if h.current != nil {
		s.Worker, s.WorkerStart = h.current.pid, startTime(h.current.pid)
	}
	return s
}

// files are the descriptors to pass on, by name.
func (h *Holder) files() map[string]*os.File {
	files := map[string]*os.File{
		fileDev: h.m.dev, fileClone: h.m.clone, fileTable: h.table,
		fileStore: h.store, fileControl: h.control, fileLock: h.lock, fileParent: h.m.parent,
	}
	for name, f := range h.kept {
		files[prefixKept+name] = f
	}
	for id, f := range h.snapshots {
		files[snapName(id)] = f
	}
	for name, f := range files {
		if f == nil {
			delete(files, name)
		}
	}
	return files
}

// resume takes over what an earlier holder left: over an exec, or in the
// service manager's descriptor store.
func (h *Holder) resume() error {
	if v := os.Getenv(stateEnv); v != "" {
		os.Unsetenv(stateEnv)
		return h.resumeExec(v)
	}
	return h.resumeStored(listenFiles())
}

func (h *Holder) resumeExec(v string) error {
	fd, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("resuming: %s=%q is no descriptor", stateEnv, v)
	}
	s, err := readState(os.NewFile(uintptr(fd), fileState))
	if err != nil {
		return err
	}
	files := make(map[string]*os.File, len(s.Files))
	for name, fd := range s.Files {
		unix.CloseOnExec(fd)
		files[name] = os.NewFile(uintptr(fd), name)
	}
	h.take(s, files)
	h.helpers.adopt(s.Helpers)
	if h.shelf != nil {
		for _, name := range s.Stored {
			h.shelf.stored[name] = files[name] // nil: stored, and no longer needed
		}
	}
	switch link := files[fileLink]; {
	case link != nil:
		h.current, err = h.attach(s.Worker, link)
	case s.Worker != 0:
		h.current = orphan(s.Worker)
	}
	return err
}

// resumeStored goes on with what the service manager kept. If the mount is gone
// or not all is there, everything starts afresh.
func (h *Holder) resumeStored(files map[string]*os.File) error {
	var s state
	for i := range 2 {
		name := fileState + strconv.Itoa(i)
		if f := files[name]; f != nil {
			delete(files, name)
			if other, err := readState(f); err == nil && other.Seq > s.Seq {
				s = other
			}
		}
	}
	whole := s.Seq > 0 && files[fileDev] != nil && files[fileTable] != nil && files[fileControl] != nil
	if !whole || !(&mounted{id: s.MountID}).present() {
		for _, f := range files {
			f.Close()
		}
		return nil
	}
	h.take(s, files)
	if s.Worker != 0 && startTime(s.Worker) == s.WorkerStart {
		// Not killed with its holder: KillMode=process. It serves until the
		// next one is ready.
		h.current = orphan(s.Worker)
	}
	return nil
}

func readState(f *os.File) (state, error) {
	defer f.Close()
	var s state
	b, err := readAll(f)
	if err != nil {
		return s, fmt.Errorf("resuming: reading the state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("resuming: decoding the state: %w", err)
	}
	return s, nil
}

func (h *Holder) take(s state, files map[string]*os.File) {
	h.plan, h.restarts, h.nextID, h.notices, h.since = s.Plan, s.Restarts, s.NextID, s.Notices, s.Since
	if h.shelf != nil {
		h.shelf.seq = s.Seq
	}
	h.m = &mounted{
		dir: s.Plan.Mount, dev: files[fileDev], clone: files[fileClone], parent: files[fileParent],
		agreed: s.Agreed, system: s.System, id: s.MountID,
	}
	if h.m.system && h.m.parent == nil {
		h.m.parent = h.m.findParent()
	}
	h.table, h.store, h.control, h.lock = files[fileTable], files[fileStore], files[fileControl], files[fileLock]
	for _, id := range s.Backings {
		h.backings[id] = true
	}
	for name, f := range files {
		if rest, ok := strings.CutPrefix(name, prefixKept); ok {
			h.kept[rest] = f
		}
		if rest, ok := strings.CutPrefix(name, prefixSnap); ok {
			if id, err := strconv.Atoi(rest); err == nil {
				h.snapshots[int32(id)] = f
			}
		}
	}
}

func snapName(id int32) string { return prefixSnap + strconv.Itoa(int(id)) }

// listenFiles takes the descriptors that the service manager stored for us
// (sd_listen_fds_with_names(3)).
func listenFiles() map[string]*os.File {
	if pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID")); pid != os.Getpid() {
		return nil
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(v)
	}
	files := make(map[string]*os.File)
	for i := 0; i < n && i < len(names); i++ {
		unix.CloseOnExec(3 + i)
		f := os.NewFile(uintptr(3+i), names[i])
		name, ours := strings.CutPrefix(names[i], "secretfs-")
		if !ours || files[name] != nil {
			f.Close()
			continue
		}
		files[name] = f
	}
	return files
}
