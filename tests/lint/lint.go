// Package lint holds the rules of this repository that no general linter
// knows: which package may import which, what must not be linked into the
// worker, how long a file may be. Its tests are the linter.
package lint
