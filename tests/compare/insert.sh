#!/bin/sh
# insert.sh TABLE FILE - put TABLE between the lines <!-- compare --> and <!-- /compare --> of FILE.
set -eu
awk -v table="$1" '
    /^<!-- \/compare -->$/ { skip = 0 }
    !skip { print }
    /^<!-- compare -->$/ { while ((getline line < table) > 0) print line; skip = 1 }
' "$2" >"$2.new"
mv "$2.new" "$2"
