#!/usr/bin/env bash
# Boots a real systemd as PID 1 of a container made of this machine's own root
# (systemd-nspawn, root needed). Nothing on that root is changed: an overlay
# takes all writes. The kernel is shared; of the network there is only lo.
# usage: machine.sh boot DIR   DIR is /opt/secretfs-test in there, writable;
#                              DIR/units holds units
#        machine.sh exec DIR COMMAND...
#        machine.sh off DIR    a clean power-off
# DIR/machine/ holds what this script needs to know.
set -euo pipefail
verb=$1 dir=$2
shift 2
state=$dir/machine
group=secretfs-test-$(basename "$dir")

init() { pgrep -P "$(cat "$state/pid")" | head -1; }
alive() { kill -0 "$(cat "$state/pid")" 2>/dev/null; }

boot() {
	mkdir -p "$state/root" "$dir/units"
	# What systemd-nspawn expects of a host, in a mount namespace of its own: a
	# plain cgroup2 tree, and a folder on a tmpfs to propagate mounts from.
	cat >"$state/inside.sh" <<-'EOF'
		set -e
		mount --make-rprivate /
		umount -R -l /sys/fs/cgroup 2>/dev/null || true
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mkdir -p "/sys/fs/cgroup/$GROUP"
		echo $$ >"/sys/fs/cgroup/$GROUP/cgroup.procs"
		mkdir -p /run/systemd
		mount -t tmpfs tmpfs /run/systemd
		# --directory=/ is refused, a bind mount of it is not.
		mount --bind / "$STATE/root"
		exec systemd-nspawn --quiet --boot --directory="$STATE/root" --volatile=overlay \
			--register=no --keep-unit --private-network --console=pipe --machine="${GROUP//[^a-zA-Z0-9-]/-}" \
			--capability=CAP_IPC_LOCK --bind=/dev/fuse --bind="$DIR:/opt/secretfs-test" \
			--bind="$DIR/units:/run/systemd/system" systemd.unit=basic.target
	EOF
	DIR=$dir STATE=$state GROUP=$group setsid unshare -m bash "$state/inside.sh" </dev/null >"$state/console" 2>&1 &
	echo $! >"$state/pid"
	for _ in $(seq 300); do
		sleep 0.1
		alive || { cat "$state/console" >&2; exit 1; }
		[ -n "$(init)" ] || continue
		case $(nsenter -t "$(init)" -m -p -- systemctl is-system-running 2>/dev/null) in
		running | degraded) exit 0 ;;
		esac
	done
	echo "the machine does not come up" >&2
	exit 1
}

off() {
	local pid
	pid=$(cat "$state/pid")
	rm "$state/pid" # never ask for a process that has its number later
	kill -TERM "$pid" 2>/dev/null || true
	for _ in $(seq 600); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	local late=0
	if kill -0 "$pid" 2>/dev/null; then
		late=1
		kill -KILL "$pid"
	fi
	for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		find "$tree/$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
	done
	# root is a bind mount of / in there only; here it is an empty folder.
	rmdir "$state/root"
	exit "$late"
}

case $verb in
boot) boot ;;
exec) exec nsenter -t "$(init)" -a -- sh -c 'cd /; exec "$@"' sh env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@" ;;
init) init ;;
off) off ;;
*)
	echo "usage: $0 boot|exec|init|off DIR" >&2
	exit 2
	;;
esac
