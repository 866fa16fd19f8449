#!/usr/bin/env bash
# A PostgreSQL server of one's own on a free loopback port, for tests.
#   scripts/postgres.sh start DIR [postgres' arguments…]   starts it with its data in DIR, prints the port
#   scripts/postgres.sh stop DIR                           ends it; kill -9 if it takes longer than 5 s
#   scripts/postgres.sh kill DIR                           kill -9 of all its processes, as when the power goes
#   scripts/postgres.sh pids DIR                           prints the pids of all its processes
# User and database are `ringtape`, without password. A second start in the same DIR takes the same port and the
# data that is there. fsync is on. As root it runs as the user postgres, who must be able to reach DIR (chmod o+x).
# Nothing stays in shared memory, also of what is killed.
set -euo pipefail
usage() { sed -n '2,9s/^# //p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
command=$1 dir=$2
shift 2

find_bin() { # Debian keeps the server's programs out of PATH
    local newest
    newest=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || newest=$(command -v initdb || true)
    [ -z "$newest" ] || dirname "$newest"
}

# The server refuses to run as root.
as_user=()
[ "$(id -u)" != 0 ] || as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
# Where folders above are closed to others (a chroot's / may be), the user may pass them by this right.
pass=(--securebits=+no_setuid_fixup --inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
[ "$(id -u)" != 0 ] || "${as_user[@]}" test -d / 2>/dev/null || as_user+=("${pass[@]}")

pid_of() { head -n 1 "$dir/data/postmaster.pid" 2>/dev/null || true; }

# A process that ended and whose parent has not noticed is not running; nor is another that got its number.
alive() {
    [ -n "$1" ] && grep -q 'postgres' "/proc/$1/comm" 2>/dev/null && grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null
}

present() { grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

make_cluster() {
    mkdir -p "$dir/data"
    chmod 755 "$dir"
    [ "$(id -u)" != 0 ] || chown -R postgres "$dir"
    "${as_user[@]}" test -w "$dir/data" || { echo "postgres.sh: the user postgres cannot reach $dir: chmod o+x the folders above it" >&2; exit 1; }
    "${as_user[@]}" "$bin/initdb" -D "$dir/data" -U ringtape -A trust -E UTF8 --no-locale >"$dir/log" 2>&1 </dev/null ||
        { tail -n 5 "$dir/log" >&2; exit 1; }
    echo 'CREATE DATABASE ringtape' | "${as_user[@]}" "$bin/postgres" --single -F -D "$dir/data" postgres >>"$dir/log" 2>&1
}

start() {
    local port='' again='' pid
    bin=$(find_bin)
    [ -n "$bin" ] || { echo "postgres.sh: no initdb in /usr/lib/postgresql/*/bin: apt-get install postgresql" >&2; exit 1; }
    alive "$(pid_of)" && { echo "postgres.sh: a server runs in $dir already (pid $(pid_of)): stop it first" >&2; exit 1; }
    [ -s "$dir/data/PG_VERSION" ] || make_cluster
    # What a killed one left names a pid that may be another's now, or one that nobody has reaped.
    [ -n "$(processes)" ] || rm -f "$dir/data/postmaster.pid"
    [ -s "$dir/port" ] && again=$(cat "$dir/port")
    for _ in $(seq 20); do
        port=${again:-$((20000 + RANDOM % 12000))}
        if taken "$port"; then sleep 0.1; continue; fi
        "${as_user[@]}" "$bin/postgres" -D "$dir/data" -p "$port" -h 127.0.0.1 -k '' -c dynamic_shared_memory_type=mmap "$@" >>"$dir/log" 2>&1 </dev/null &
        pid=$!
        for _ in $(seq 400); do
            present "$pid" || break
            if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U ringtape -d ringtape; then
                echo "$port" >"$dir/port"
                echo "$port"
                return
            fi
            sleep 0.05
        done
        kill "$pid" 2>/dev/null || true
    done
    echo "postgres.sh: no server came up in $dir; the end of its log:" >&2
    tail -n 5 "$dir/log" >&2
    exit 1
}

gone() {
    for _ in $(seq 250); do
        alive "$1" || return 0
        sleep 0.02
    done
    return 1
}

stop() {
    local pid
    pid=$(pid_of)
    alive "$pid" || return 0
    kill -INT "$pid" # fast: ends the sessions
    gone "$pid" && [ -z "$(processes)" ] || crash
}

# All of the server's processes, also those that outlived the postmaster: each has the data folder as its own. The
# children that the kernel lists are not all while some come and go.
processes() {
    local data p
    data=$(readlink -f "$dir/data") || return 0
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/cwd" 2>/dev/null)" != "$data" ] || ! alive "${p#/proc/}" || echo "${p#/proc/}"
    done
}

# The kernel keeps the segment by which a server knows another in its folder; its lock file names it.
forget_memory() {
    local key id
    read -r key id < <(sed -n 7p "$dir/data/postmaster.pid" 2>/dev/null) || true
    [ -z "${id:-}" ] || ipcrm -m "$id" 2>/dev/null || true
}

# Until none is left: one that is in the middle of a write to a slow disk takes its time, and no new server can start
# before its shared memory is free.
crash() {
    local all
    for _ in $(seq 600); do
        all=$(processes)
        [ -n "$all" ] || { forget_memory; return 0; }
        # shellcheck disable=SC2086
        kill -KILL $all 2>/dev/null || true
        sleep 0.05
    done
    echo "postgres.sh: still there 30 s after kill -9:" $all >&2
    exit 1
}

case $command in
start) start "$@" ;;
stop) stop ;;
kill) crash ;;
pids) processes ;;
*) usage ;;
esac
