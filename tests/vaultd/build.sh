#!/usr/bin/env bash
# Builds a real Vault server, and its plugin for PostgreSQL, from the Go module
# proxy: minutes, and some gigabytes of Go's caches. Vault is under the BUSL: this
# is a tool of the tests, never part of what we hand out, and never committed.
# usage: tests/vaultd/build.sh DIR
set -euo pipefail

# Newer ones do not build outside of their own tree: no published version of Vault's
# sdk module fits the one that they hold in theirs.
version=v1.21.0

dir=$1
go=${GO:-go}
export GOFLAGS=-mod=mod CGO_ENABLED=0 GOWORK=off
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
cd "$work"

cat >main.go <<'EOF'
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
EOF

# Vault's own go.mod, as a program of its own: without the replacements that point
# into its tree, and with those that do not, which Go takes from a main module only.
cat >go.mod <<'EOF'
module vaultd
EOF
module=$("$go" mod download -json "github.com/hashicorp/vault@$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
[ -n "$module" ] || { echo "vaultd: the module proxy did not give vault $version" >&2; exit 1; }
sed 's|^module .*|module vaultd|; /^replace github.com\/hashicorp\/vault/d' "$module/go.mod" >go.mod
cp "$module/go.sum" go.sum
chmod u+w go.mod go.sum
"$go" mod edit -require "github.com/hashicorp/vault@$version"

flags=(-trimpath -buildvcs=false -p 2 -ldflags '-s -w')
"$go" build "${flags[@]}" -o "$dir/postgresql-database-plugin" \
	github.com/hashicorp/vault/plugins/database/postgresql/postgresql-database-plugin
# minimal: without the clouds' plugins, which no test here asks for.
"$go" build "${flags[@]}" -tags minimal -o "$dir/vault" .
