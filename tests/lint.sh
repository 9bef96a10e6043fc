#!/usr/bin/env bash
# Format, vet, staticcheck, the rules of this repository, known vulnerabilities.
set -euo pipefail
step() { echo "== $*"; }

step gofumpt
unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs go tool gofumpt -l)
[ -z "$unformatted" ] || { echo "not formatted (run: go tool gofumpt -w .):"; echo "$unformatted"; exit 1; }

step go vet
go vet ./...
go vet -tags gendoc ./cmd/secretfs

step staticcheck
go tool staticcheck ./...

step rules of this repository
go test -count=1 ./tests/lint

step govulncheck
if curl -fsSo /dev/null --max-time 10 https://vuln.go.dev/index/db.json 2>/dev/null; then
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...
else
	echo "skipped: its database at vuln.go.dev cannot be reached"
fi
echo "== lint passed"
