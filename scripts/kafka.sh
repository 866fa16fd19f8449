#!/usr/bin/env bash
# A Kafka broker of one's own on a free loopback port, for tests: broker and controller in one process.
#   scripts/kafka.sh start DIR [key=value…]   starts it with its data in DIR, prints the port; key=value: server.properties,
#                                             with {port} and {controller} for its ports; SCRAM-…=[…]: a user
#   scripts/kafka.sh stop DIR                 ends it; kill -9 if it takes longer than 10 s
#   scripts/kafka.sh kill DIR                 kill -9
#   scripts/kafka.sh tool CLASS ARGUMENT…     runs one of Kafka's own tools
#   scripts/kafka.sh fetch                    only fetches Kafka, where it is missing
# A second start in the same DIR takes the same port, the data and the settings that are there. Kafka itself comes
# from Maven Central, once, into RINGTAPE_KAFKA (default ~/.cache/ringtape/kafka_2.13-3.9.1). Exit 77: it cannot be had.
set -euo pipefail
version=3.9.1
home=${RINGTAPE_KAFKA:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ringtape/kafka_2.13-$version}
usage() { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
command=${1:-}
[ "$command" = fetch ] || [ $# -ge 2 ] || usage
shift
dir=${1:-}
[ $# -eq 0 ] || shift

unavailable() { echo "kafka.sh: $1" >&2; exit 77; }

# Whole or not at all: the folder gets its name when everything is in it.
fetch() {
    [ ! -d "$home" ] || return 0
    command -v java >/dev/null && command -v mvn >/dev/null || "$(dirname "$0")/setup.sh" test >&2 || true
    command -v java >/dev/null || unavailable "no Java: apt-get install default-jre-headless"
    command -v mvn >/dev/null || unavailable "no Maven: apt-get install maven"
    echo "kafka.sh: fetching org.apache.kafka:kafka_2.13:$version and what it needs (46 MB) into $home" >&2
    mkdir -p "$(dirname "$home")"
    local new
    new=$(mktemp -d "$home.XXXXXX")
    cat >"$new/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ringtape</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
END
    if ! mvn -B -q -f "$new/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$new/libs" >"$new/log" 2>&1; then
        tail -n 5 "$new/log" >&2
        rm -rf "$new"
        unavailable "Maven could not fetch it"
    fi
    printf '%s\n' 'log4j.rootLogger=WARN, out' 'log4j.appender.out=org.apache.log4j.ConsoleAppender' \
        'log4j.appender.out.layout=org.apache.log4j.PatternLayout' 'log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n' \
        >"$new/log4j.properties"
    mv -T "$new" "$home" 2>/dev/null || { rm -rf "$new"; [ -d "$home" ]; }
}

kafka() {
    local options="-Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
    # shellcheck disable=SC2086
    exec java $options -Dlog4j.configuration="file:$home/log4j.properties" -cp "$home/libs/*" "$@"
}

# A process that ended and whose parent has not noticed is not running; nor is another that got its number.
alive() { grep -q 'java' "/proc/$1/comm" 2>/dev/null && grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null; }

running() { [ -s "$dir/pid" ] && alive "$(cat "$dir/pid")"; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do taken "$port" || break; done
    echo "$port"
}

# Kafka listens before it knows its own topics: ready is who answers a request for metadata (version 0, all topics)
# with a broker: correlation id, a count of brokers that is not 0.
answers() {
    local got
    got=$( (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf '\0\0\0\016\0\003\0\0\0\0\0\007\0\0\0\0\0\0' >&3
        timeout 1 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n'
    ) 2>/dev/null) || true
    [ "${got:8:8}" = 00000007 ] && [ "${got:16:8}" != 00000000 ]
}

# A killed broker may come back only when the controller holds it for dead: 9 s, were it not for the last line.
settings() { # port, controller's port
    cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$2
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$1
controller.listener.names=CONTROLLER
log.dirs=$dir/data
num.partitions=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=1500
END
}

start() {
    fetch
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    running && { echo "kafka.sh: a broker runs in $dir already (pid $(cat "$dir/pid")): stop it first" >&2; exit 1; }
    if [ ! -d "$dir/data" ]; then
        local controller users=() own
        controller=$(free_port)
        free_port >"$dir/port"
        settings "$(cat "$dir/port")" "$controller" >"$dir/server.properties"
        for own; do
            case $own in
            SCRAM-*) users+=(--add-scram "$own") ;;
            *) printf '%s\n' "$own" | sed "s/{port}/$(cat "$dir/port")/g; s/{controller}/$controller/g" >>"$dir/server.properties" ;;
            esac
        done
        # The id of the cluster: any 16 bytes, here "ringtape-test-01".
        (kafka kafka.tools.StorageTool format -t cmluZ3RhcGUtdGVzdC0wMQ -c "$dir/server.properties" "${users[@]}") >"$dir/log" 2>&1 ||
            { tail -n 5 "$dir/log" >&2; rm -rf "$dir/data"; exit 1; }
    fi
    (kafka kafka.Kafka "$dir/server.properties") >>"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    local port
    port=$(cat "$dir/port")
    for _ in $(seq 600); do
        if answers "$port"; then echo "$port"; return; fi
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
        sleep 0.1
    done
    echo "kafka.sh: no broker came up in $dir; the end of its log:" >&2
    tail -n 5 "$dir/log" >&2
    exit 1
}

# end SIGNAL: and waits until the process is gone.
end() {
    running || { rm -f "$dir/pid"; return 0; }
    local pid
    pid=$(cat "$dir/pid")
    kill "-$1" "$pid"
    for _ in $(seq 500); do
        alive "$pid" || { rm -f "$dir/pid"; return 0; }
        sleep 0.02
    done
    [ "$1" = KILL ] || end KILL
}

case $command in
start) start "$@" ;;
stop) end TERM ;;
kill) end KILL ;;
fetch) fetch ;;
tool) fetch; kafka "$dir" "$@" ;;
*) usage ;;
esac
