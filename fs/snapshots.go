package fs

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/fs/table"
)

// snapshots are the values that direct-I/O handles read from: in memfd_secret
// files that the holder keeps too, so that the next worker can go on. Where the
// kernel has none they are files of the detached tmpfs, and without one (user
// mounts) this process's alone.
type snapshots struct {
	store   Store
	backing *os.File

	mu    sync.Mutex
	byID  map[int32]*snapshot
	local int32 // ids of snapshots that no holder knows count up from the lowest
}

// The ids of snapshots that no holder knows lie below the holder's.
const (
	firstLocal = -1 << 31
	lastLocal  = -1 << 30
)

type snapshot struct {
	mu    sync.RWMutex // held for writing when the value goes
	value *secret.Value
	local bool
}

// start takes leave of what a dead worker had for itself: nodes no longer carry
// it, and no other value gets an id that one of its open handles still names.
func (s *snapshots) start(cfg Config) {
	s.store, s.backing, s.byID, s.local = cfg.Store, cfg.Backing, make(map[int32]*snapshot), firstLocal
	lost := func(object int32) bool {
		if object > lastLocal {
			return false
		}
		s.local = max(s.local, object)
		return true
	}
	for object := range cfg.Table.Objects() {
		lost(object)
	}
	cfg.Table.EachCarried(func(id table.NodeID, c table.Carried) {
		if lost(c.Object) {
			cfg.Table.Carry(id, table.Carried{})
		}
	})
}

// add keeps v, or a copy of it, and returns its id, which is negative.
func (s *snapshots) add(v *secret.Value) (int32, error) {
	file, err := s.file(v)
	if errors.Is(err, secret.ErrUnsupported) {
		return s.addLocal(v), nil
	}
	if err != nil {
		return 0, fmt.Errorf("making a snapshot: %w", err)
	}
	defer file.Close()
	id, err := s.store.Register(file, false)
	if err != nil {
		return s.addLocal(v), nil // the holder is dead: this worker serves on alone
	}
	mapped, err := secret.MapFD(int(file.Fd()), v.Len())
	if err != nil {
		return 0, fmt.Errorf("mapping a snapshot: %w", err)
	}
	s.put(id, &snapshot{value: mapped})
	return id, nil
}

// file makes a file of v that other processes can map and nobody can swap.
func (s *snapshots) file(v *secret.Value) (*os.File, error) {
	fd, err := secret.Memfd(v)
	if err == nil {
		return os.NewFile(uintptr(fd), "snapshot"), nil
	}
	if errors.Is(err, secret.ErrUnsupported) && s.backing != nil {
		return unlinked(s.backing, v)
	}
	return nil, err
}

func (s *snapshots) addLocal(v *secret.Value) int32 {
	s.mu.Lock()
	s.local++
	id := s.local
	s.mu.Unlock()
	s.put(id, &snapshot{value: v.Share(), local: true})
	return id
}

func (s *snapshots) put(id int32, snap *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = snap
}

// get finds a snapshot, with the holder's help if another worker made it.
func (s *snapshots) get(id int32, size int64) (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap := s.byID[id]; snap != nil {
		return snap, nil
	}
	file, err := s.store.Fetch(id)
	if err != nil {
		return nil, errSnapshotLost
	}
	defer file.Close()
	v, err := secret.MapFD(int(file.Fd()), int(size))
	if err != nil {
		return nil, fmt.Errorf("mapping a snapshot: %w", err)
	}
	s.byID[id] = &snapshot{value: v}
	return s.byID[id], nil
}

// unused ends a snapshot of node n if no handle reads it and n does not carry
// it.
func (s *snapshots) unused(id int32, n table.NodeID, t *table.Table) {
	if t.Reads(id) || t.Carried(n).Object == id {
		return
	}
	s.mu.Lock()
	snap := s.byID[id]
	delete(s.byID, id)
	s.mu.Unlock()
	if snap != nil {
		snap.mu.Lock()
		snap.value.Destroy()
		snap.mu.Unlock()
	}
	if snap == nil || !snap.local {
		go func() { _ = s.store.Drop(id) }() // the holder's death is said elsewhere
	}
}

// Read answers FUSE_READ for direct I/O. The kernel cannot take pages of
// memfd_secret, so the part asked for is copied through locked memory, which
// is wiped once it is sent.
func (f *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	h, ok := f.cfg.Table.Handle(in.Fh)
	if !ok || h.Object >= 0 {
		return nil, fuse.EBADF
	}
	if in.Offset >= uint64(h.Size) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	snap, err := f.direct.get(h.Object, h.Size)
	if err != nil {
		f.cfg.Log.Error("reading", "error", err)
		return nil, status(err)
	}
	snap.mu.RLock()
	defer snap.mu.RUnlock()
	b := snap.value.Bytes()
	if in.Offset >= uint64(len(b)) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	b = b[in.Offset:min(uint64(len(b)), in.Offset+uint64(in.Size))]
	answer, err := f.replies.take(len(b))
	if err != nil {
		f.cfg.Log.Error("reading", "error", err)
		return nil, status(err)
	}
	copy(answer.whole, b)
	return answer, fuse.OK
}
