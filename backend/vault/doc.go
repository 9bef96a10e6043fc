// Package vault reads secrets from HashiCorp Vault and from OpenBao, over the HTTP
// API that both have (developer.hashicorp.com/vault/api-docs, openbao.org/api-docs).
//
// A key is the path of a secret and the field of it that is wanted; see Reference.
// Which version of the KV engine serves a path is asked once a mount
// (sys/internal/ui/mounts), so that a read in a session that is under way is one
// request. Everything else is read as it is, or written, where data goes with it.
//
// What the server gives with a lease, and what is written, is fetched once for all
// files of it: a user name and its password come from one answer. Such an answer is
// held in locked memory, its lease renewed at two thirds of its time, and replaced
// before it runs out. It and the token outlive the process (backend.Slot), so that the
// next worker neither logs in nor is given other credentials. Nothing is revoked
// when a process ends, only by Lock and Revoke.
//
// The client of Vault, github.com/hashicorp/vault/api, is not used, though it is kept
// well: it keeps tokens and answers in strings, which cannot be wiped; retries where the
// resolver already decides when to ask again; follows any redirect with the token; and
// takes settings from the environment that no policy names. Linked into the worker it
// costs 0.8 MiB in the file and 0.7 MiB of resident memory over httpc.
package vault
