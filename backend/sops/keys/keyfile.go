package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/secretfs/secretfs/backend/secret"
)

// maxKeyFile in bytes is far above any real key file.
const maxKeyFile = 1 << 20

// A stamp tells two states of a file apart. The zero stamp is that of a file
// which cannot be looked at.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stampOf(fi fs.FileInfo, err error) stamp {
	if err != nil {
		return stamp{}
	}
	st := fi.Sys().(*syscall.Stat_t)
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// A keyFile is a key file as last read.
type keyFile struct {
	path   string
	stamp  stamp
	failed bool // it could not be read
	material
	opened bool          // the material is that of a protected file, opened
	wrong  *secret.Value // a passphrase that does not open it, or nil
}

// open puts what a protected file holds in its place.
func (f *keyFile) open(m material) {
	f.wrong.Destroy()
	f.material, f.opened, f.wrong = m, true, nil
}

// forget has a protected file that was opened read again, and any passphrase
// tried.
func (f *keyFile) forget() {
	f.wrong.Destroy()
	f.wrong = nil
	if f.opened {
		f.stamp, f.material, f.opened = stamp{}, material{}, false
	}
}

// load reads the file anew if it changed, or could not be read before: the cause
// need not show in its stamp.
func (f *keyFile) load() {
	if !f.failed && f.stamp != (stamp{}) && stampOf(os.Stat(f.path)) == f.stamp {
		return
	}
	s, m, err := readKeyFile(f.path)
	if err != nil {
		m.complain(f.path, "%v", err)
	}
	f.wrong.Destroy()
	f.stamp, f.material, f.failed, f.opened, f.wrong = s, m, err != nil, false, nil
}

// readKeyFile does not block on a FIFO and does not read devices.
func readKeyFile(path string) (s stamp, m material, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return stampOf(os.Stat(path)), m, bare(err)
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return s, m, bare(err)
	}
	s = stampOf(fi, nil)
	switch {
	case !fi.Mode().IsRegular():
		return s, m, errors.New("not a regular file")
	case fi.Size() > maxKeyFile:
		return s, m, fmt.Errorf("%d bytes long, expected at most %d", fi.Size(), maxKeyFile)
	}
	text, err := secret.New(int(fi.Size()))
	if err != nil {
		return s, m, err
	}
	defer text.Destroy()
	n, err := io.ReadFull(file, text.Bytes())
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return s, m, bare(err)
	}
	m = parseKeyFile(path, text.Bytes()[:n])
	for i := range m.plugins {
		m.plugins[i].owner = fi.Sys().(*syscall.Stat_t).Uid
	}
	return s, m, nil
}

// bare takes operation and path off an error whose sentence begins with them.
func bare(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
