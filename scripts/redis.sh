#!/usr/bin/env bash
# A Redis server of one's own on a free loopback port, for tests.
#   scripts/redis.sh start DIR [redis-server's arguments…]   starts it with its data in DIR, prints the port
#   scripts/redis.sh stop DIR                                ends it; kill -9 if it takes longer than 5 s
#   scripts/redis.sh kill DIR                                kill -9
# A second start in the same DIR takes the same port and the data that is there. The append-only file is on, and
# kill -9 loses nothing of it (with everysec, the default, a server puts writes off while the disk is slow).
# With REDIS_TLS=1 the port speaks TLS, with certificates that are made in DIR: ca.crt, and server.crt and client.crt
# (and .key) that it signed, for 127.0.0.1 and localhost; clients need one if redis-server's arguments do not say
# --tls-auth-clients no.
set -euo pipefail
usage() { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
command=$1 dir=$2
shift 2

# A process that ended and whose parent has not noticed is not running; nor is another that got its number.
alive() { grep -q 'redis' "/proc/$1/comm" 2>/dev/null && grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null; }

running() { [ -s "$dir/pid" ] && alive "$(cat "$dir/pid")"; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

certificate() { # NAME SUBJECT openssl-req's arguments…
    local name=$1 subject=$2
    shift 2
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$subject" \
        -keyout "$dir/$name.key" -out "$dir/$name.crt" "$@" 2>>"$dir/log"
}

certificates() {
    local sign=(-CA "$dir/ca.crt" -CAkey "$dir/ca.key" -addext "subjectAltName=IP:127.0.0.1,DNS:localhost")
    [ -s "$dir/client.crt" ] && return
    command -v openssl >/dev/null || "$(dirname "$0")/setup.sh" test >&2
    certificate ca "ringtape tests" && certificate server server "${sign[@]}" -addext basicConstraints=CA:false &&
        certificate client client "${sign[@]}" -addext basicConstraints=CA:false
}

# Waits until the server answers anything (PONG, an error); false if it ended.
answers() {
    for _ in $(seq 200); do
        running || return 1
        case $(redis-cli "${cli[@]}" -p "$1" ping 2>&1 || true) in
        *LOADING* | *refused* | *"Could not connect"*) sleep 0.05 ;;
        *) return 0 ;;
        esac
    done
    return 1
}

start() {
    local port='' again='' listen=(--port) cli=()
    command -v redis-server >/dev/null || "$(dirname "$0")/setup.sh" test >&2
    mkdir -p "$dir"
    running && { echo "redis.sh: a server runs in $dir already (pid $(cat "$dir/pid")): stop it first" >&2; exit 1; }
    if [ -n "${REDIS_TLS:-}" ]; then
        certificates
        listen=(--tls-cert-file "$dir/server.crt" --tls-key-file "$dir/server.key" --tls-ca-cert-file "$dir/ca.crt" --port 0 --tls-port)
        cli=(--tls --cacert "$dir/ca.crt" --cert "$dir/client.crt" --key "$dir/client.key")
    fi
    [ -s "$dir/port" ] && again=$(cat "$dir/port")
    for _ in $(seq 20); do
        port=${again:-$((20000 + RANDOM % 12000))}
        if taken "$port"; then sleep 0.1; continue; fi
        redis-server "${listen[@]}" "$port" --bind 127.0.0.1 --dir "$dir" --appendonly yes --appendfsync no --save '' --daemonize no "$@" \
            >>"$dir/log" 2>&1 </dev/null &
        echo $! >"$dir/pid"
        if answers "$port"; then
            echo "$port" >"$dir/port"
            echo "$port"
            return
        fi
    done
    echo "redis.sh: no server came up in $dir; the end of its log:" >&2
    tail -n 5 "$dir/log" >&2
    exit 1
}

# end SIGNAL: and waits until the process is gone.
end() {
    running || { rm -f "$dir/pid"; return 0; }
    local pid
    pid=$(cat "$dir/pid")
    kill "-$1" "$pid"
    for _ in $(seq 250); do
        alive "$pid" || { rm -f "$dir/pid"; return 0; }
        sleep 0.02
    done
    [ "$1" = KILL ] || end KILL
}

case $command in
start) start "$@" ;;
stop) end TERM ;;
kill) end KILL ;;
*) usage ;;
esac
