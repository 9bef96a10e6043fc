package secret

// Wipe overwrites b with zeros. It is for plaintext that a library has put on
// the Go heap; what the garbage collector or append copied before is not reached.
//
//go:noinline
func Wipe(b []byte) {
	// The compiler drops no stores to memory that escapes, and with noinline
	// it cannot see that the caller is done with it.
	clear(b)
}
