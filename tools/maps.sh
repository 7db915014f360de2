#!/bin/sh
# maps.sh - do the maps name every file?  docs/ARCHITECTURE.md the headers of lib/, and the two large cores theirs.
status=0
named() { # MAP FILE...: is each file's name in it?
    map=$1
    shift
    for file; do
        grep -qF "${file##*/}" "$map" || { echo "$map does not name $file"; status=1; }
    done
}
named docs/ARCHITECTURE.md lib/*.h
for core in executor/internal.h coordinator/parts.h; do
    for file in services/"${core%/*}"/*.c; do
        case $file in
        */main.c | *_shell.c) ;;
        *) [ -e "${file%.c}.h" ] && [ "${file##*/}" != "${core%/*}.c" ] || named "services/$core" "$file" ;;
        esac
    done
done
exit $status
