// Package age reads secrets out of files that age encrypted, one secret a file:
// binary or armored (age-encryption.org/v1, C2SP age.md), to X25519,
// post-quantum, ssh-ed25519, ssh-rsa and plugin recipients. The layouts of agenix
// and ragenix are such files.
//
// Keys name files below a directory without their extension: "db/password" is
// db/password.age. A key that begins with "/" or "./" is the path of a file as it
// stands; policies have those for files that are called otherwise or lie
// elsewhere. Symbolic links are followed, out of the directory too: whoever can
// make one there can as well replace the secret, and agenix installs links into
// the Nix store. No key leaves the directory by "..".
//
// Length and version are told from the ciphertext. The version is a digest of
// the ciphertext, except that a file which was encrypted anew with the same
// plaintext, as by rekeying, keeps the version it had if it has been read before:
// nobody is told of a change, and nothing restarts. Both are decrypted to find
// out; no digest of plaintext is made.
//
// A file that can no longer be used leaves the last good one in force for
// max_stale, if that is up to 1 MiB long; what is kept for it is the ciphertext.
// One that was removed is gone at once.
//
// age itself parses headers and unwraps file keys. The payload is decrypted here,
// because that puts plaintext nowhere but into locked memory.
package age
