package mount

import (
	"errors"
	"os"
	"reflect"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

var errPool = errors.New("adopting the connection: this go-fuse keeps its request buffers in another way than 2.12")

// residentBuffers has go-fuse hand the kernel only request buffers whose pages
// are in memory. A thread that SIGKILL wakes in read(2) still takes a request
// that is waiting (wait_event_interruptible looks at the condition first). If
// it cannot fault the buffer in, because it is dying, the kernel ends that
// request with EIO (fuse_dev_do_read): an OPEN fails before its reader, a
// RELEASE is lost, and nothing is left to be resent. With the pages in memory
// the copy succeeds and the next worker is sent the request again.
//
// go-fuse has no option for it, hence the way into its pool.
func residentBuffers(server *fuse.Server) error {
	field := reflect.ValueOf(server).Elem().FieldByName("readPool")
	if !field.IsValid() || field.Type() != reflect.TypeFor[sync.Pool]() {
		return errPool
	}
	pool := (*sync.Pool)(unsafe.Pointer(field.UnsafeAddr()))
	fresh := pool.New
	if _, ok := fresh().([]byte); !ok {
		return errPool
	}
	pool.New = func() any { return touch(fresh().([]byte)) }
	// The one that INIT was read into.
	pool.Put(touch(pool.Get().([]byte)))
	return nil
}

// touch writes to every page of b.
func touch(b []byte) []byte {
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 0
	}
	b[len(b)-1] = 0
	return b
}
