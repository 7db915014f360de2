#!/bin/sh
# fresh.sh - do the two commands of the README work on a machine that has nothing?
#
# Makes a minimal Debian 12 in a temporary directory, from the mirror that this host's apt uses, puts the
# committed tree (HEAD) into it, and runs ./run demo and ./run test there.  Needs root, debootstrap and
# git.  All mounts and processes live in namespaces of their own and end with this script.
set -eu

[ "$(id -u)" -eq 0 ] || { echo "fresh.sh: needs root" >&2; exit 1; }
for tool in git unshare; do
    command -v $tool >/dev/null || { echo "fresh.sh: needs $tool" >&2; exit 1; }
done

cd "$(dirname "$(readlink -f "$0")")/.."
top=$(mktemp -d "${TMPDIR:-/var/tmp}/natterjack-fresh.XXXXXX")
root=$top/root
child=
clean_up() {
    [ ! "$child" ] || kill "$child" 2>/dev/null || true
    wait
    rm -rf --one-file-system "$top"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

deploy/debian-root.sh "$root"
mkdir "$root/natterjack"
git archive HEAD | tar -x -C "$root/natterjack"

# The root is bound onto itself, so that it is a mount point as a real root is.
# shellcheck disable=SC2016 # expanded inside
unshare --mount --propagation private --pid --fork --kill-child sh -euc '
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount --rbind /sys "$1/sys"
    mount -t tmpfs tmpfs "$1/run"
    mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
    cd "$1"
    for verb in demo test; do
        echo "fresh.sh: ./run $verb"
        env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            chroot . sh -c "cd / && exec natterjack/run $verb"
    done
' sh "$root" &
child=$!
wait "$child"
child=
echo "fresh.sh: both work"
