// Package exec serves what a command prints: `rbw get`, `pass show`, `op read`. Each
// fetch runs it as a helper, without a shell and outside of the worker's sandbox
// (package backend/program). A backend is a Remote: the resolver keeps its values for
// their ttl, and serves the last good one while the command fails.
package exec
