#!/usr/bin/env bash
# Runs every test and ends with "N passed, N failed, N skipped". Each test program prints TAP or is counted as one.
#   scripts/test.sh [PATTERN]   only the programs whose path matches
set -uo pipefail
cd "$(dirname "$0")/.."
pattern=${1:-}
passed=0 failed=0 skipped=0
export CMOCKA_MESSAGE_OUTPUT=TAP
log=build/test-logs; mkdir -p "$log"

run() { # name, command...
    local name=$1 out start=$SECONDS; shift
    [[ $name == *$pattern* ]] || return 0
    out=$log/${name//\//_}.log
    timeout --kill-after=10 "${TEST_TIMEOUT:-600}" "$@" >"$out" 2>&1 </dev/null
    local code=$? p f s
    s=$(grep -cE '^(not )?ok .*# *SKIP' "$out") # cmocka 1.1 says "not ok" of what it skips
    p=$(grep -E '^ok ' "$out" | grep -vcE '# *SKIP|^ok - [a-z_]+$'); f=$(grep -E '^not ok ' "$out" | grep -vcE '# *SKIP')
    if [ $code -ne 0 ] && [ "$f" -eq 0 ]; then f=1; echo "not ok - $name ended with $code" >>"$out"; fi
    if [ $code -eq 0 ] && [ $((p + s + f)) -eq 0 ]; then p=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
    grep -E '# *SKIP' "$out" | head -5 | sed 's/^/    /'
    if [ "$f" -gt 0 ]; then echo "    see $out"; grep -vE '# *SKIP' "$out" | grep -E -A8 '^not ok|\[  ERROR|ERROR: |WARNING: Thread' | head -40 | sed 's/^/    /'; fi
}

run includes scripts/check-includes.sh
run format scripts/check-format.sh
for t in build/tests/unit/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && run "unit/${t##*/}" "$t"; done
for t in build/asan/tests/unit/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && SEEDS=4 run "asan/${t##*/}" "$t"; done # a fourth: they are slow
for t in build/tests/race/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && run "race/${t##*/}" "$t"; done
for t in build/tsan/tests/race/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && run "tsan/${t##*/}" "$t"; done
for t in build/asan/tests/fuzz/fuzz_*; do [ -x "$t" ] && [[ $t != *.d ]] && run "fuzz/${t##*/}" "$t" "tests/fuzz/corpus/$(basename "${t#*fuzz_}")"; done
run sim/seeds build/tests/sim/sim --seeds 500
run sim/mutations tests/sim/mutations.sh
for t in tests/system/test_*.sh tests/system/test_*.py; do [ -x "$t" ] && run "system/${t##*/}" "$t"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
