// Package guest is what every kernel must do alike, and where older ones may
// differ: a system mount, its requests, crashes of the worker, rotation. It
// runs on this machine's kernel as any test does, and as PID 1 of a virtual
// machine (package oldkernel) on others. It needs no program but secretfs, sops,
// cat and fusermount3.
package guest
