package bench

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A static is the peer of a read: one file in a bare go-fuse filesystem, served
// by passthrough, which asks nobody who they are and records nothing. It has the
// same mount options as secretfs.
type static struct {
	fuse.RawFileSystem
	backing int32
}

const staticName, staticNode = "token", 2

func (s *static) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name != staticName {
		return fuse.ENOENT
	}
	out.NodeId = staticNode
	out.Attr = staticAttr()
	out.SetEntryTimeout(time.Hour)
	out.SetAttrTimeout(time.Hour)
	return fuse.OK
}

func staticAttr() fuse.Attr {
	return fuse.Attr{Ino: staticNode, Mode: fuse.S_IFREG | 0o400, Nlink: 1, Size: secretLen}
}

func (s *static) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Attr = staticAttr()
	if in.NodeId == fuse.FUSE_ROOT_ID {
		out.Attr = fuse.Attr{Ino: 1, Mode: fuse.S_IFDIR | 0o755, Nlink: 2}
	}
	out.SetTimeout(time.Hour)
	return fuse.OK
}

func (s *static) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags, out.BackingID = fuse.FOPEN_PASSTHROUGH|fuse.FOPEN_NOFLUSH, s.backing
	return fuse.OK
}

// runStatic serves until its standard input ends.
func runStatic(args []string) error {
	dir := args[0]
	fs := &static{RawFileSystem: fuse.NewDefaultRawFileSystem()}
	server, err := fuse.NewServer(fs, dir, &fuse.MountOptions{
		AllowOther: true, DirectMountStrict: true, DirectMountFlags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
		DisableSplice: true, FsName: "static", Name: "static",
	})
	if err != nil {
		return fmt.Errorf("mounting the static file: %w", err)
	}
	fd, err := unix.MemfdCreate("static", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte(strings.Repeat("s", secretLen))); err != nil {
		return err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	id, errno := server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(fd)})
	if errno != 0 {
		return fmt.Errorf("registering the static file: %w", errno)
	}
	fs.backing = id
	fmt.Println("mounted")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return server.Unmount()
}

// newStatic mounts the peer and tells its process and its file.
func newStatic(b *testing.B) (pid int, file string) {
	b.Helper()
	dir := b.TempDir()
	cmd := self("static", dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "mounted\n" {
		b.Fatal("the static file is not mounted: it takes root and a kernel with FUSE passthrough (6.9)")
	}
	return cmd.Process.Pid, dir + "/" + staticName
}
