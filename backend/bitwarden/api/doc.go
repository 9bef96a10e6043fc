// Package api speaks to the servers of Bitwarden's password manager: the cloud,
// self-hosted ones, and Vaultwarden. It knows how to log in, to ask whether a
// vault has changed, and to fetch it; what is in a vault is ciphertext to it.
//
// The protocol is that of the official command line client (bw). Vaultwarden and
// older servers spell names with other cases, so that answers are read without
// regard to case.
//
// Errors wrap the sentinels of package backend, name the server and what was
// asked of it, and hold no token, hash or password. A server that asks us to wait
// (429, 503, Retry-After) is not asked before.
package api
