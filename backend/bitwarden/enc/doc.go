// Package enc decrypts what Bitwarden's clients encrypt: encrypted strings, the
// keys that open them, and the binary form that attachments have.
//
// The formats are those of Bitwarden's security whitepaper and of its clients'
// shared library (bitwarden-crypto): AES-256-CBC with HMAC-SHA256, RSA-2048
// with OAEP, and for newer accounts COSE (RFC 9052) with XAES-256-GCM
// (c2sp.org/XAES-256-GCM) or XChaCha20-Poly1305. Nothing is encrypted with the
// old forms that have no MAC or ignore it; they are read where an old account
// still needs them.
//
// Plaintext and keys are in locked memory. What the standard library makes of
// keys (AES round keys, an RSA key's numbers) is on the Go heap for the time of one
// call. Errors name what did not open and never quote it; they wrap the sentinels
// of package backend. All types are safe for concurrent use once made, except that
// nothing may be used after Destroy.
package enc
