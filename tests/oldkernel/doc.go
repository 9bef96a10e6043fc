// Package oldkernel boots older kernels in QEMU and runs the tests of package
// guest on them, which are their only processes: an initramfs holds all there
// is. The kernels come out of Debian's packages; fetch.sh gets them, `make
// kernels` does the whole.
package oldkernel
