// Package kdf derives master keys from master passwords as Bitwarden's clients
// do, in a helper process: Argon2id may take 1 GiB, which the worker must not
// have, and PBKDF2 half a second of processor time.
package kdf
