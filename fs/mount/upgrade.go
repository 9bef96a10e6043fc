package mount

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/fs/table"
)

func (h *Holder) handleUpgrade(m *message) (answer, error) {
	var r upgradeRequest
	if err := m.decode(&r); err != nil {
		return answer{}, err
	}
	if err := probe(r.Binary, h.table); err != nil {
		return answer{}, fmt.Errorf("upgrading to %s: %w", r.Binary, err)
	}
	h.mu.Lock()
	h.upgradeErr = ""
	h.mu.Unlock()
	select {
	case h.upgrades <- r.Binary:
	default: // one is under way
	}
	return answer{}, nil
}

// probeTimeout is far more than a program needs to say its version.
const probeTimeout = 15 * time.Second

// probe makes sure that a program runs here, is ours and can go on with the node
// table, before there is no way back.
func probe(binary string, nodes *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return fmt.Errorf("asking it for its version: %w", err)
	}
	if !bytes.HasPrefix(out, []byte("secretfs ")) {
		return errors.New("it is another program")
	}
	return sameLayout(out, nodes)
}

// sameLayout looks for the line that tells how a program lays out its node
// table. One without the line finds out by itself, when its worker begins.
func sameLayout(said []byte, nodes *os.File) error {
	made, err := table.LayoutOf(nodes)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(said) {
		name, layout, _ := strings.Cut(string(line), " ")
		if layout = strings.TrimSpace(layout); name == "table" && layout != made {
			return fmt.Errorf("its node table has layout %s, the one of this mount is %s: unmount, and mount with it", layout, made)
		}
	}
	return nil
}

// upgrade replaces this program by binary: same pid, same descriptors. The
// worker serves on until the new program's first worker takes over. It returns
// only if that could not be started.
func (h *Holder) upgrade(binary string) {
	_ = reloading("STATUS=upgrading")
	h.mu.Lock()
	err := h.exec(binary)
	h.upgradeErr = err.Error()
	h.mu.Unlock()
	h.cfg.Log.Error("upgrading: going on as before", "binary", binary, "error", err)
	_ = notify("READY=1")
}

func (h *Holder) exec(binary string) error {
	files := h.files()
	s := h.snapshotState()
	if h.shelf != nil {
		_ = h.shelf.store(h.files(), s) // what is missing is stored after the exec
		s.Seq, s.Stored = h.shelf.seq, slices.Collect(maps.Keys(h.shelf.stored))
	}
	s.Files, s.Helpers = make(map[string]int), h.helpers.left()
	if h.current.link != nil {
		link, err := h.current.link.conn.File()
		if err != nil {
			return err
		}
		defer link.Close()
		files[fileLink] = link
	}
	for name, f := range files {
		// A duplicate without close-on-exec: should exec fail, ours are as before.
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 10)
		if err != nil {
			return fmt.Errorf("duplicating %s: %w", name, err)
		}
		defer unix.Close(fd)
		s.Files[name] = fd
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := inMemory(fileState, b)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		return err
	}
	env := append(os.Environ(), stateEnv+"="+strconv.Itoa(int(f.Fd())))
	err = syscall.Exec(binary, append([]string{binary}, os.Args[1:]...), env)
	return fmt.Errorf("starting %s: %w", binary, err)
}
