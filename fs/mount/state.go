package mount

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
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
	// Worker is the pid at the other end of the descriptor named "link".
	Worker int `json:"worker,omitempty"`
}

// The names of descriptors that outlive a holder. Kept files and snapshots
// have prefixes.
const (
	fileDev     = "dev"
	fileClone   = "clone"
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
	return s
}

// files are the descriptors to pass on, by name.
func (h *Holder) files() map[string]*os.File {
	files := map[string]*os.File{
		fileDev: h.m.dev, fileClone: h.m.clone, fileTable: h.table,
		fileStore: h.store, fileControl: h.control, fileLock: h.lock,
	}
	for name, f := range h.kept {
		files[prefixKept+name] = f
	}
	for id, f := range h.snapshots {
		files[prefixSnap+strconv.Itoa(int(id))] = f
	}
	for name, f := range files {
		if f == nil {
			delete(files, name)
		}
	}
	return files
}

// heirlooms are the descriptors for the service manager's store. The names obey
// sd_pid_notify_with_fds(3): no colons, no control characters.
func (h *Holder) heirlooms() (files []*os.File, names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := json.Marshal(h.snapshotState())
	if err != nil {
		return nil, nil
	}
	all := h.files()
	if f, err := spilled(b); err == nil {
		all[fileState] = f
	}
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		files = append(files, all[name])
		names[i] = storeName(name)
	}
	return files, names
}

func storeName(name string) string {
	return "secretfs-" + strings.ReplaceAll(name, ":", "_")
}

// resume takes over what an earlier holder left: over an exec, or in the
// service manager's descriptor store.
func (h *Holder) resume() error {
	if v := os.Getenv(stateEnv); v != "" {
		os.Unsetenv(stateEnv)
		return h.resumeExec(v)
	}
	if files := listenFiles(); files[fileState] != nil {
		return h.resumeStored(files)
	}
	return nil
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
	if link := files[fileLink]; link != nil {
		if h.current, err = h.attach(s.Worker, link); err != nil {
			return err
		}
	}
	return nil
}

func (h *Holder) resumeStored(files map[string]*os.File) error {
	s, err := readState(files[fileState])
	if err != nil {
		return err
	}
	if files[fileDev] == nil || files[fileTable] == nil || files[fileControl] == nil {
		closeAll([]*os.File{files[fileDev], files[fileTable], files[fileControl]})
		return nil // not all was stored: start afresh
	}
	h.take(s, files)
	if !h.m.present() {
		h.m.close()
		h.m = nil
	}
	return nil
}

func readState(f *os.File) (state, error) {
	defer f.Close()
	var s state
	info, err := f.Stat()
	if err != nil {
		return s, fmt.Errorf("resuming: %w", err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return s, fmt.Errorf("resuming: reading the state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("resuming: decoding the state: %w", err)
	}
	return s, nil
}

func (h *Holder) take(s state, files map[string]*os.File) {
	h.plan, h.restarts, h.nextID, h.notices, h.since = s.Plan, s.Restarts, s.NextID, s.Notices, s.Since
	h.m = &mounted{
		dir: s.Plan.Mount, dev: files[fileDev], clone: files[fileClone],
		agreed: s.Agreed, system: s.System, id: s.MountID,
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
