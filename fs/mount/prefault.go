package mount

import (
	"errors"
	"os"
	"reflect"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// errNoPool says that go-fuse has changed inside.
var errNoPool = errors.New("adopting the connection: this go-fuse has no readPool of type sync.Pool")

// prefault sees to it that every buffer which go-fuse reads a request into is
// in memory beforehand. While a worker is being killed the kernel still takes a
// request for a thread that waits in read(2); if it then had to fault a page
// in, the pending SIGKILL would make that fail, and the request would be
// answered with EIO or, a RELEASE, be lost, instead of being resent to the next
// worker (fs/fuse/dev.c fuse_dev_do_read; mm/gup.c faultin_page).
//
// go-fuse takes the buffers from a pool of its own, which only reflection
// reaches. It must be called before Serve.
func prefault(server *fuse.Server) error {
	field := reflect.ValueOf(server).Elem().FieldByName("readPool")
	if !field.IsValid() || field.Type() != reflect.TypeFor[sync.Pool]() {
		return errNoPool
	}
	pool := (*sync.Pool)(unsafe.Pointer(field.UnsafeAddr()))
	fresh := pool.New
	pool.New = nil
	for pool.Get() != nil { // the one that INIT was read into
		continue
	}
	page := os.Getpagesize()
	pool.New = func() any {
		buf := fresh()
		if b, ok := buf.([]byte); ok {
			for i := 0; i < len(b); i += page {
				b[i] = 0
			}
			b[len(b)-1] = 0
		}
		return buf
	}
	return nil
}
