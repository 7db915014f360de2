#!/bin/sh
# man.sh - the command's manual page, as scdoc(1) reads it: docs/natterjack.1.in, with what the command itself says of
# its verbs and their options in place of @VERBS@ and @OPTIONS@.  Options of several verbs stand there once.
#
#   tools/man.sh PROGRAM
set -e
program=$1
help=$(mktemp -d)
trap 'rm -rf "$help"' EXIT
"$program" --help >"$help/all"
sed -n 's/^  \([a-z-]\{1,\}\) .*/\1/p' "$help/all" >"$help/verbs"
while read -r verb; do
    "$program" "$verb" --help >"$help/verb-$verb"
done <"$help/verbs"

cat >"$help/awk" <<'END'
function plain(s) { gsub(/[\\_*]/, "\\\\&", s); return s }
function option(line, name, value) { # as a term and what it is
    match(line, /^ +-[^ ]+/)
    name = substr(line, RSTART, RLENGTH); gsub(/ /, "", name)
    line = substr(line, RLENGTH + 1)
    value = ""
    if (match(line, /^ +[^ ]+(  +|$)/)) { # a flag without a value has single spaces alone
        value = substr(line, 1, RLENGTH); gsub(/ /, "", value)
        line = substr(line, RLENGTH + 1)
    }
    sub(/^ +/, "", line)
    return "*" name "*" (value ? " _" plain(value) "_" : "") (line ? "\n\t" plain(line) : "")
}
function add(list, name) { return list (list ? ", " : "") "*" name "*" }
FILENAME ~ /\/all$/ && /^  [a-z]/ { n++; verb[n] = $1; says[$1] = substr($0, 62); sub(/^ +/, "", says[$1]); next }
FILENAME ~ /\/verb-/ { v = FILENAME; sub(/.*\/verb-/, "", v) }
FILENAME ~ /\/verb-/ && /^usage: / { usage[v] = substr($0, length("usage: natterjack ") + length(v) + 2); next }
FILENAME ~ /\/verb-/ && /^  -/ {
    o = option($0)
    if (!(o in times)) order[++m] = o
    times[o]++
    whose[o] = add(whose[o], v)
    has[v, o] = 1
    next
}
FILENAME ~ /\.in$/ && /^@VERBS@$/ {
    for (i = 1; i <= n; i++) {
        v = verb[i]
        printf "*%s*%s\n\t%s\n\n", v, usage[v] ? " " plain(usage[v]) : "", plain(says[v])
    }
    next
}
FILENAME ~ /\.in$/ && /^@OPTIONS@$/ {
    for (i = 1; i <= m; i++) {
        o = order[i]
        if (times[o] == 1) continue
        if (whose[o] != last) printf "Of %s:\n\n", last = whose[o]
        printf "%s\n\n", o
    }
    for (i = 1; i <= n; i++) {
        told = 0
        for (j = 1; j <= m; j++) {
            o = order[j]
            if (times[o] > 1 || !((verb[i], o) in has)) continue
            if (!told++) printf "## %s\n\n", verb[i]
            printf "%s\n\n", o
        }
    }
    next
}
FILENAME ~ /\.in$/ { print }
END
awk -f "$help/awk" "$help/all" $(sed "s|^|$help/verb-|" "$help/verbs") docs/natterjack.1.in
