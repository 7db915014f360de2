#!/bin/sh
# without.sh - each attack against a build that lacks the one defence it is about, where it must succeed: so
# that none of them fails for want of trying.  A copy of the tree is built without each of tests/attack/without
# in turn.  ATTACK="name..." does these alone.
#
#   [CC=...] tests/attack/without.sh       from the top of the tree, as root
#   tests/attack/without.sh --check        only: do the patches fit the code as it is?
set -e
if [ "$1" = --check ]; then
    for patch in tests/attack/without/*.patch; do
        patch -s -p1 --dry-run -i "$patch" || { echo "$patch does not fit"; exit 1; }
    done
    exit 0
fi
tree=$(readlink -f "${BUILD:-build}")/without
rm -rf "$tree" && mkdir -p "$tree/src"
tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C "$tree/src"
cd "$tree/src"
build() {
    make CC="${CC:-cc}" MODE=debug BUILD=../build -j"$(nproc)" all ../build/debug/tests/test_attack >../log 2>&1 ||
        { tail -40 ../log; exit 1; }
}
failed=0
for name in ${ATTACK:-$(cd tests/attack/without && ls | sed 's/\.patch$//')}; do
    patch=tests/attack/without/$name.patch
    patch -s -p1 -i "$patch"
    build
    if ATTACK="$name" WITHOUT=1 ../build/debug/tests/test_attack --short-filename --filter 'attack/none*' >../log 2>&1; then
        echo "without its defence: $(grep "^$name " ../log)"
    else
        failed=$((failed + 1))
        cat ../log
        echo "$name does not succeed without its defence"
    fi
    patch -s -R -p1 -i "$patch"
done
cd /
rm -rf "$tree"
exit "$failed"
