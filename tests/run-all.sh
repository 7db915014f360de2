#!/bin/sh
# run-all.sh DIR TEST... - run these programs of DIR with the words of $ARGS, as many at once as there are cores. What each
# prints comes in one piece, when it has ended; at the end those that failed are named.
set -u
dir=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export dir work
export ARGS="${ARGS-}"

# shellcheck disable=SC2016 # for the shell that xargs starts
printf '%s\n' "$@" | xargs -P "$(nproc)" -I '{}' sh -c '
    "$dir/$1" --short-filename $ARGS > "$work/$1" 2>&1 < /dev/null || echo "$1" >> "$work/failed"
    exec 9> "$work/printing"
    flock 9
    echo "$1" >> "$work/done"
    echo "== $dir/$1"
    cat "$work/$1"' sh '{}'
[ "$(wc -l < "$work/done")" -eq $# ] || {
    echo "only $(wc -l < "$work/done") of $# programs ran"
    exit 1
}
[ ! -s "$work/failed" ] || {
    echo "failed: $(sort "$work/failed" | tr '\n' ' ')"
    exit 1
}
