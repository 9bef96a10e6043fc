package credentials

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/secretfs/secretfs/backend/secret"
)

var errMissing = errors.New("there is no such file")

// Bits of the mode that a file of credentials may not have.
const (
	// ownerOnly leaves it to its owner. An access control list shows in the
	// bits of the group, acl(5).
	ownerOnly fs.FileMode = 0o044
	// notOthers is for $CREDENTIALS_DIRECTORY, where the service manager may
	// have given the unit's user a place in such a list.
	notOthers fs.FileMode = 0o004
)

// nixStore is world-readable as a whole, and copied to whoever asks for it.
const nixStore = "/nix/store/"

// readPrivate reads a file into locked memory, unless its mode has one of the
// bits of open. It waits for no FIFO and touches no device.
func readPrivate(name string, open fs.FileMode) (*secret.Value, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, errors.New("it is not a regular file")
	case inStore(name):
		return nil, errors.New("it lies in the Nix store, where everybody can read it: keep it outside, or encrypt it and name it with {secret: …}")
	case mode&open != 0:
		return nil, fmt.Errorf("%s can read it (mode %04o): chmod 600 %s", readers(mode), mode.Perm(), name)
	case info.Size() > MaxLen:
		return nil, fmt.Errorf("it has %d bytes, expected at most %d", info.Size(), MaxLen)
	}
	return readAll(f, int(info.Size()))
}

// readAll takes what is there of size bytes.
func readAll(f *os.File, size int) (*secret.Value, error) {
	v, err := secret.New(size)
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(f, v.Bytes())
	if err == nil {
		return v, nil
	}
	defer v.Destroy()
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, bare(err)
	}
	return copied(v.Bytes()[:n])
}

func inStore(name string) bool {
	real, err := filepath.EvalSymlinks(name)
	return err == nil && strings.HasPrefix(real, nixStore)
}

func readers(mode fs.FileMode) string {
	if mode&notOthers != 0 {
		return "everybody"
	}
	return "its group"
}

// bare takes operation and path off an error whose sentence has them already.
func bare(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return errMissing
	}
	if in, ok := errors.AsType[*fs.PathError](err); ok {
		return in.Err
	}
	return err
}
