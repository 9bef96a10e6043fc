package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// mountUser mounts through the setuid program fusermount3, which sends the
// descriptor over the socket that _FUSE_COMMFD names (fusermount3(1)). The
// mount is not read-only: fusermount3 cannot lift that again for a rotation.
func mountUser(dir string) (*mounted, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fusermount"), os.NewFile(uintptr(pair[1]), "fusermount")
	defer ours.Close()
	program, err := fusermountProgram()
	if err != nil {
		theirs.Close()
		return nil, err
	}
	cmd := exec.Command(program, "-o", "fsname=secretfs,subtype=secretfs,nosuid,nodev", "--", dir)
	cmd.Env = []string{"_FUSE_COMMFD=3", "PATH=" + os.Getenv("PATH")}
	cmd.ExtraFiles = []*os.File{theirs}
	out, err := cmd.CombinedOutput()
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %s: %w", dir, oneLine(out), err)
	}
	dev, err := receiveFile(ours)
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	m := &mounted{dir: dir, dev: dev}
	if m.agreed, err = negotiate(dev, false); err != nil {
		m.unmount(true)
		return nil, err
	}
	return m, nil
}

func fusermountProgram() (string, error) {
	for _, name := range []string{"/run/wrappers/bin/fusermount3", "fusermount3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("looking for fusermount3, which mounts for ordinary users: not found in PATH (Debian: apt-get install fuse3)")
}

func fusermount(dir string, lazy bool) error {
	program, err := fusermountProgram()
	if err != nil {
		return err
	}
	args := []string{"-u"}
	if lazy {
		args = append(args, "-z")
	}
	out, err := exec.Command(program, append(args, "--", dir)...).CombinedOutput()
	switch {
	case err == nil:
		return nil
	case bytes.Contains(out, []byte("busy")):
		return unix.EBUSY
	default:
		return fmt.Errorf("unmounting %s: %s", dir, oneLine(out))
	}
}

func receiveFile(sock *os.File) (*os.File, error) {
	var data [4]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(sock.Fd()), data[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receiving the descriptor from fusermount3: %w", err)
	}
	files, err := filesFrom(oob[:n])
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("receiving the descriptor from fusermount3: got %d descriptors, expected one", len(files))
	}
	return files[0], nil
}

func oneLine(b []byte) string {
	return strings.Join(strings.Fields(string(b)), " ")
}
