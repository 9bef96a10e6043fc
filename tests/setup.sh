#!/usr/bin/env bash
# Makes this machine ready: says what is missing, and installs it from Debian
# packages where it may. Does nothing where everything is there.
# usage: tests/setup.sh demo | test | kernels
set -euo pipefail

# The one list of what is needed besides Go: "command package,package why". Tests that
# need a command with "-" in front are skipped without it.
demo='fusermount3 fuse3 mounts-of-ordinary-users'
test="$demo
bash bash readers-of-every-kind
python3 python3 readers-of-every-kind
setpriv util-linux callers-with-other-ids
getent libc-bin names-of-a-name-service
gpg gnupg files-for-OpenPGP-keys
pass pass a-password-store
systemd-creds systemd encrypted-credentials
swtpm swtpm,tpm2-tools credentials-sealed-by-a-TPM
ssh-keygen openssh-client files-for-ssh-keys
pinentry-tty pinentry-tty asking-for-passphrases
node nodejs the-clients-of-Bitwarden
npm npm the-clients-of-Bitwarden
inotifywait inotify-tools watchers-on-rotation
/usr/lib/postgresql/*/bin/postgres postgresql accounts-that-a-Vault-gives-out
-logrotate logrotate rotating-the-audit-log
-gcc gcc the-race-detector
-systemd-nspawn systemd-container,libnss-systemd a-real-systemd-on-the-mount
-dbus-daemon dbus a-real-systemd-on-the-mount"
kernels="$demo
-qemu-system-x86_64 qemu-system-x86 booting-older-kernels
-cpio cpio booting-older-kernels
-xz xz-utils modules-of-older-kernels"

case ${1:-} in
demo | test | kernels) wanted=${!1} ;;
*) echo "usage: tests/setup.sh demo | test | kernels" >&2; exit 2 ;;
esac

go=$(sed -n 's/^go //p' go.mod)
if ! command -v go >/dev/null; then
	echo "setup: Go is missing: install Go $go or later from https://go.dev/dl/ or your distribution" >&2
	exit 1
fi
if [ ! -c /dev/fuse ]; then
	modprobe fuse 2>/dev/null || true
	[ -c /dev/fuse ] || { echo "setup: /dev/fuse is missing: load the kernel module fuse, or give the container the device" >&2; exit 1; }
fi
if [ "$(id -u)" = 0 ]; then
	# As udev has it. Where no udev runs, the tests of user mounts need it.
	if [ "$1" = test ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then
		echo "setup: making /dev/fuse mode 0666, as udev does"
		chmod 666 /dev/fuse
	fi
elif [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
	echo "setup: you may not open /dev/fuse: sudo chmod 666 /dev/fuse, as udev does" >&2
	exit 1
fi

packages=() required=()
while read -r command package why; do
	bare=${command#-}
	[[ $bare == /* ]] && compgen -G "$bare" >/dev/null && continue # a path with a version in it
	command -v "$bare" >/dev/null && continue
	echo "setup: $bare is missing (${why//-/ })"
	IFS=, read -ra named <<<"$package"
	packages+=("${named[@]}")
	[ "$bare" != "$command" ] || required+=("${named[@]}")
done <<<"$wanted"
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "setup: to install them: sudo apt-get install ${packages[*]}   (on Debian; elsewhere what provides these commands)"
	[ ${#required[@]} -eq 0 ] || { echo "setup: cannot go on without ${required[*]}" >&2; exit 1; }
	exit 0
fi
echo "setup: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null
