// Package bws reads secrets of Bitwarden Secrets Manager, in the cloud or on a
// server of one's own, by the protocol of Bitwarden's own kit (sdk-sm).
//
// One call fetches everything that the machine account may read, as ciphertext,
// and the same call asks later whether anything has changed: without a change no
// value moves. What is kept in memory is that ciphertext; a secret is decrypted
// when it is read. Names of secrets and projects are names of files to us and not
// treated as secret.
//
// The access token is asked for at each login, about once an hour, and not kept.
// The session's token (JWT) and the organisation's key are in locked memory, and
// survive the process there (backend.Env.State). On disk (Env.Disk) lies the
// ciphertext, and the session encrypted with the key that is part of the access
// token: a machine that starts without network serves what it had as long as it has
// the access token.
package bws
