#!/usr/bin/env bash
# Runs every test, JOBS at a time (one more than there are cores, as many wait for servers; at most 4), and ends with
# "N passed, N failed, N skipped". Each test program prints TAP or is counted as one.
#   scripts/test.sh [PATTERN]   only the programs whose path matches
set -uo pipefail
cd "$(dirname "$0")/.."
pattern=${1:-}
jobs=${JOBS:-$(($(nproc) < 3 ? $(nproc) + 1 : 4))}
export CMOCKA_MESSAGE_OUTPUT=TAP
export log=build/test-logs
rm -rf "$log"; mkdir -p "$log"

run() { # "name command..."
    local name=${1%% *} command=${1#* } start=$SECONDS out code p f s
    out=$log/${name//\//_}.log
    timeout --kill-after=10 "${TEST_TIMEOUT:-1200}" bash -c "exec $command" >"$out" 2>&1 </dev/null
    code=$?
    s=$(grep -cE '^(not )?ok .*# *SKIP' "$out") # cmocka 1.1 says "not ok" of what it skips
    p=$(grep -E '^ok ' "$out" | grep -vcE '# *SKIP|^ok - [a-z_]+$'); f=$(grep -E '^not ok ' "$out" | grep -vcE '# *SKIP')
    if [ $code -ne 0 ] && [ "$f" -eq 0 ]; then f=1; echo "not ok - $name ended with $code" >>"$out"; fi
    if [ $code -eq 0 ] && [ $((p + s + f)) -eq 0 ]; then p=1; fi
    echo "$p $f $s" >"$out.count"
    echo "$((SECONDS - start)) $name" >"$out.time"
    { printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
      grep -E '# *SKIP' "$out" | head -5 | sed 's/^/    /'
      if [ "$f" -gt 0 ]; then echo "    see $out"; grep -vE '# *SKIP' "$out" | grep -E -A8 '^not ok|\[  ERROR|ERROR: |WARNING: Thread' | head -40 | sed 's/^/    /'; fi
    } >"$out.summary"
    cat "$out.summary"
}
export -f run

# Small redzones, so that what malloc gives lies as it does without the sanitizer: on 16 bytes, not on 64 by chance.
asan=ASAN_OPTIONS=redzone=16:max_redzone=16

tests() { # a line for each: its name, its command
    local t
    # What takes long comes first: on a fresh machine there are no times of a last run to go by.
    for t in tests/system/test_*.py; do echo "system/${t##*/} $t"; done
    echo "sim/seeds build/tests/sim/sim --seeds 500"
    echo "sim/mutations tests/sim/mutations.sh"
    echo "includes scripts/check-includes.sh"
    echo "format scripts/check-format.sh"
    for t in build/tests/unit/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && echo "unit/${t##*/} $t"; done
    for t in build/asan/tests/unit/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && echo "asan/${t##*/} env $asan SEEDS=2 $t"; done # a few: they are slow
    for t in build/tests/race/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && echo "race/${t##*/} $t"; done
    for t in build/tsan/tests/race/test_*; do [ -x "$t" ] && [[ $t != *.d ]] && echo "tsan/${t##*/} $t"; done
    for t in build/asan/tests/fuzz/fuzz_*; do [ -x "$t" ] && [[ $t != *.d ]] && echo "fuzz/${t##*/} $t tests/fuzz/corpus/${t#*fuzz_}"; done
}
# The longest of the last run first, so that none is left to run alone at the end; what has no time yet before them.
times=build/test-times
touch $times
tests | while read -r line; do [[ ${line%% *} == *$pattern* ]] && echo "$line"; done |
    awk -v times=$times 'BEGIN { while ((getline < times) > 0) s[$2] = $1 } { print ($1 in s ? s[$1] : 9999), $0 }' |
    sort -s -k1,1nr | cut -d' ' -f2- >"$log/list"
xargs <"$log/list" -P "$jobs" -d '\n' -I{} bash -c 'run "$1"' _ {}
cat $times "$log"/*.time 2>/dev/null | awk '{ s[$2] = $1 } END { for (t in s) print s[t], t }' >$times.new && mv $times.new $times
passed=0 failed=0 skipped=0
while read -r p f s; do passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s)); done < <(cat "$log"/*.count 2>/dev/null)
missing=$(($(wc -l <"$log/list") - $(cat "$log"/*.count 2>/dev/null | wc -l)))
if [ "$missing" -gt 0 ]; then echo "not ok - $missing programs did not come to their end"; failed=$((failed + missing)); fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
