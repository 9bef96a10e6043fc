package backend

import "errors"

// The kinds of error that a backend answers with. Each has an errno of its
// own in the filesystem, so that `cat` tells them apart. A backend wraps one of
// them in an error that names file, key and cause, and never a secret.
var (
	// ErrNotFound: the backend works and has no such key.
	ErrNotFound = errors.New("no such secret")
	// ErrLocked: no key is at hand that decrypts it, or the vault is locked.
	ErrLocked = errors.New("locked")
	// ErrRejected: a key or token is at hand, and was refused.
	ErrRejected = errors.New("key rejected")
	// ErrExpired: the credential or lease has run out.
	ErrExpired = errors.New("expired")
	// ErrCorrupt: the ciphertext is damaged or forged.
	ErrCorrupt = errors.New("damaged or forged")
	// ErrUnavailable: the file or server is not reachable.
	ErrUnavailable = errors.New("not reachable")
	// ErrTimeout: the answer did not come before the deadline.
	ErrTimeout = errors.New("too slow")
	// ErrUnsupported: the secret is there, in a form that is not understood.
	ErrUnsupported = errors.New("not supported")
)

// Alone marks an error that concerns one secret and says nothing of the others
// in its backend, as where each is a file of its own. A backend without such
// errors is asked less often once it cannot be reached.
func Alone(err error) error { return alone{err} }

type alone struct{ error }

func (a alone) Unwrap() error { return a.error }

// IsAlone says whether err was marked by Alone.
func IsAlone(err error) bool {
	_, ok := errors.AsType[alone](err)
	return ok
}
