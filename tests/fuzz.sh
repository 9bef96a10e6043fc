#!/usr/bin/env bash
# Runs every fuzz target there is for FUZZTIME each.
set -euo pipefail
mapfile -t targets < <(git ls-files '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort)
[ ${#targets[@]} -gt 0 ] || { echo "fuzz: no targets found" >&2; exit 1; }
for target in "${targets[@]}"; do
	dir=$(dirname "${target%%:*}") name=${target##*:}
	echo "== $dir $name, ${FUZZTIME:=20s}"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 10x "./$dir"
done
echo "== ${#targets[@]} fuzz targets, nothing found"
