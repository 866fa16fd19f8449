#!/usr/bin/env bash
# The simulator finds bugs: each line of mutations.txt is put into a copy of its file, and some seed must fail.
#   tests/sim/mutations.sh [SEEDS]   at most so many for each (400); those that few seeds find, where more are given
set -uo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-400} bad=0 n=0 out=build/sim/mutants
mkdir -p $out
while IFS='|' read -r file start what command; do
    [[ $file == '' || $file == \#* ]] && continue
    n=$((n + 1))
    if [[ $start == rare ]]; then
        start=1
        if [ "$seeds" -le 400 ]; then echo "# mutation $n ($what): rare, tried in make soak"; continue; fi
    fi
    sed "$command" "$file" >"$out/$n.c"
    if cmp -s "$file" "$out/$n.c"; then echo "not ok - mutation $n ($what): $file has no such line any more"; bad=1; continue; fi
    if ! make --no-print-directory -s "$out/sim$n" MUTANT="$out/$n.c" MUTATED="$file" >"$out/$n.log" 2>&1; then
        echo "not ok - mutation $n ($what): does not compile, see $out/$n.log"; bad=1; continue
    fi
    if "$out/sim$n" --seeds "$seeds" --start "$start" --fail-after 1 >"$out/$n.log" 2>&1; then
        echo "not ok - mutation $n: $file: $what: no seed of $seeds finds it"; bad=1
    else
        echo "ok - found by $(grep -m1 -o 'SEED=[0-9]*' "$out/$n.log"): $file: $what"
    fi
done <tests/sim/mutations.txt
exit $bad
