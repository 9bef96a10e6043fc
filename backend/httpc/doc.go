// Package httpc is the HTTP client of the backends that ask servers. It adds to
// net/http what each of them needs: certificates that are read again when their
// files change, answers of bounded length, credentials that never follow a
// redirect to another server, a server that asks for patience being left alone,
// and errors that wrap the sentinels of package backend and say what to do.
//
// It knows nothing of any protocol above HTTP, and retries nothing: whoever
// fetches decides when to ask again.
//
// What goes through it is for moments in memory that is not locked, in the
// buffers of net/http and crypto/tls; they cannot be told where to work.
package httpc
