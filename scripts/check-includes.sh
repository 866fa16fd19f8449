#!/usr/bin/env bash
# Fails on an include that points backwards: core <- shm <- net <- workers. Prints each offender.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
check() { # folder, what it may include
    local hits
    hits=$(grep -nE '^#include "' "$1"/*.[ch] | grep -vE "#include \"($2)/" || true)
    [ -z "$hits" ] || { echo "$hits" | sed "s|\$|   <- $1 may include only: $2|"; bad=1; }
}
check core core
check shm 'core|shm'
check net 'core|shm|net'
check workers 'core|shm|net|workers'
exit $bad
