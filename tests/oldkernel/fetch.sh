#!/usr/bin/env bash
# Takes older kernels out of Debian's packages, without installing them: for
# each DIR/RELEASE/ with vmlinuz and the modules that the tests need.
# usage: tests/oldkernel/fetch.sh DIR
set -euo pipefail
dir=$1
# The cloud kernels are small and know the machine that QEMU shows.
wanted=(linux-image-cloud-amd64 linux-image-6.12-cloud-amd64)
modules=(fs/fuse/fuse fs/overlayfs/overlay)

if ! command -v apt-get >/dev/null || [ "$(dpkg --print-architecture)" != amd64 ]; then
	echo "kernels: SKIPPED: they come from Debian packages for amd64"
	exit 0
fi

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
chmod 755 "$temp"
# apt-get downloads as this user, when it is root.
[ "$(id -u)" != 0 ] || chown _apt "$temp"

# package prints the newest package that a metapackage leads to.
package() {
	apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null |
		sed -n 's/^ *|\?Depends: \(linux-image-[0-9].*\)/\1/p' | head -1
}

# unpack makes DIR/RELEASE of a package file.
unpack() {
	local deb=$1 release=$2 m
	dpkg-deb -x "$deb" "$temp/$release"
	mkdir "$temp/$release/out"
	mv "$temp/$release/boot/vmlinuz-$release" "$temp/$release/out/vmlinuz"
	for m in "${modules[@]}"; do
		m=$temp/$release/lib/modules/$release/kernel/$m.ko
		[ ! -f "$m.xz" ] || xz -d "$m.xz"
		[ ! -f "$m" ] || mv "$m" "$temp/$release/out/" # else it is built in
	done
	mv "$temp/$release/out" "$dir/$release"
}

for meta in "${wanted[@]}"; do
	name=$(package "$meta")
	if [ -z "$name" ]; then
		apt-get update -qq
		name=$(package "$meta")
	fi
	if [ -z "$name" ]; then
		echo "kernels: SKIPPED: no package source offers $meta"
		continue
	fi
	release=${name#linux-image-}
	[ ! -d "$dir/$release" ] || continue
	echo "kernels: taking Linux $release out of Debian's package"
	(
		cd "$temp"
		apt-get download -qq "$name" || { apt-get update -qq && apt-get download -qq "$name"; }
	)
	unpack "$temp/${name}_"*.deb "$release"
done
