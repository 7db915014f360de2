#!/bin/sh
# debian-root.sh DIR - make a minimal Debian 12 in DIR, whose apt works wherever this host's does.
#
# Needs root and debootstrap.  Mirror, proxies and names are taken over from this host.
set -eu

[ $# -eq 1 ] || { echo "usage: debian-root.sh DIR" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "debian-root.sh: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debian-root.sh: needs debootstrap" >&2; exit 1; }
root=$1
suite=bookworm

# "URI SUITE" of each part of Debian that this host's apt reads.
sources() {
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' |
        grep " $suite" | sort -u
}
found=$(sources)
mirror=$(echo "$found" | awk -v s="$suite" '$2 == s { print $1; exit }')
echo "debian-root.sh: $suite from ${mirror:-its own mirror} into $root"
mkdir -p "$root"
debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 ||
    { tail -20 "$root.log" >&2; exit 1; }

apt-config dump | grep -E '^Acquire::(https?|Check-|Retries|ForceIPv)' >"$root/etc/apt/apt.conf.d/90host" || true
[ ! "$found" ] || echo "$found" | awk '{ print "deb", $1, $2, "main" }' >"$root/etc/apt/sources.list"
[ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
[ ! -e /etc/hosts ] || cp -L /etc/hosts "$root/etc/hosts"
