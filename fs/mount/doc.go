// Package mount holds the FUSE connection and outlives whoever serves it.
//
// The holder owns /dev/fuse, the mount and what the kernel's ids mean; it
// parses no policy, opens no network connection and reads no secret. It starts
// workers, replaces one that dies or hangs, and hands each what the last one
// left: the connection, the node table, the detached tmpfs for backing files,
// the control socket and whatever the worker asked it to keep. The package has
// both ends: the holder (Run) and the worker's link to it (Link, Adopt).
package mount
