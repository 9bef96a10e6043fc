#!/usr/bin/env bash
# Runs every test: plainly, then under the race detector, then the filesystem
# and its mounts on one processor. Prints totals; fails when anything does.
set -uo pipefail
failed=0
go build -o bin/report ./tests/report || exit 1

# -count=1: the tests run programs that Go's test cache does not know of.
pass() {
	local name=$1
	shift
	echo "== $name"
	go test -count=1 -json "$@" | bin/report "$name" || failed=1
}

export SECRETFS_TEST_FUSE=required
pass "tests" ./...

if command -v gcc >/dev/null; then
	# The seams to sops' own libraries are compared in the first pass; under the
	# detector they take minutes and share nothing.
	mapfile -t packages < <(go list ./... | grep -v -e /cmd/secretfs-keys -e /tests/)
	CGO_ENABLED=1 pass "race detector" -race "${packages[@]}"
else
	echo "== race detector: skipped, it needs gcc"
fi

# Real mounts too: the programs inherit it.
GOMAXPROCS=1 pass "one processor" ./fs/... ./tests/kernel/...

[ "$failed" = 0 ] && echo "== all passed" || echo "== FAILED"
exit "$failed"
