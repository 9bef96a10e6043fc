package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inMemory puts bytes into an anonymous file, which can be handed on. They are
// not secret: such a file can be swapped out.
func inMemory(name string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("secretfs-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an anonymous file for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("filling an anonymous file for %s: %w", name, err)
	}
	return f, nil
}

// readAll reads a file from its beginning, wherever its offset stands, which
// whoever has the file shares.
func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	return b, err
}
