package kdf

import (
	"fmt"

	"github.com/secretfs/secretfs/backend"
)

// The functions that accounts use, as the servers number them.
const (
	PBKDF2   = 0 // PBKDF2-HMAC-SHA256
	Argon2id = 1
)

// DefaultMaxMemory is the most that a derivation may take where nothing else is
// configured, in MiB. Bitwarden lets nobody choose more.
const DefaultMaxMemory = 1024

// Bounds of what is believed of a server. Below the lower ones a server that was
// taken over would have us hand out a hash that is cheap to reverse; the upper
// ones keep it from having us work for ever.
const (
	minPBKDF2, maxPBKDF2 = 5000, 10_000_000
	minMemory            = 16 // MiB
	minPasses, maxPasses = 2, 100
	maxLanes             = 64
)

// Params say how the master key of an account is derived.
type Params struct {
	Type       int `json:"type"`
	Iterations int `json:"iterations"`
	// Memory in MiB, and Parallelism, are of Argon2id only.
	Memory      int `json:"memory,omitempty"`
	Parallelism int `json:"parallelism,omitempty"`
}

// Check says why nothing is derived with p if that may take maxMemory MiB.
func (p Params) Check(maxMemory int) error {
	switch {
	case p.Type == PBKDF2 && (p.Iterations < minPBKDF2 || p.Iterations > maxPBKDF2):
		return fmt.Errorf("the server asks for %d iterations of PBKDF2, expected %d to %d: %w", p.Iterations, minPBKDF2, maxPBKDF2, backend.ErrUnsupported)
	case p.Type == PBKDF2:
		return nil
	case p.Type != Argon2id:
		return fmt.Errorf("the server names a key derivation (%d) that is not known here: %w", p.Type, backend.ErrUnsupported)
	case p.Memory < minMemory || p.Iterations < minPasses || p.Iterations > maxPasses || p.Parallelism < 1 || p.Parallelism > maxLanes:
		return fmt.Errorf("the server asks for Argon2id with %d MiB, %d iterations and a parallelism of %d, which is out of bounds: %w", p.Memory, p.Iterations, p.Parallelism, backend.ErrUnsupported)
	case p.Memory > maxMemory:
		return fmt.Errorf("the account's key derivation (Argon2id) takes %d MiB, and kdf_memory allows %d: raise it, or lower the account's setting in the web vault: %w", p.Memory, maxMemory, backend.ErrUnsupported)
	}
	return nil
}
