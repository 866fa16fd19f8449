#!/usr/bin/env bash
# Installs what is missing from Debian's packages, and says what. Idempotent: the second time it changes nothing.
#   scripts/setup.sh build|test|bench
set -euo pipefail
case "${1:-build}" in
build) packages="gcc make libck-dev liburing-dev libhiredis-dev libxxhash-dev libjansson-dev libinih-dev libhttp-parser-dev libzstd-dev libncurses-dev libpq-dev libsqlite3-dev librdkafka-dev libssl-dev tzdata" ;;
test) packages="libcmocka-dev redis-server openssl postgresql sqlite3 python3-psycopg2 default-jre-headless maven python3 python3-venv python3-xxhash zstd qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross clang-format curl" ;;
bench) packages="g++ libboost-dev libdpdk-dev libreaderwriterqueue-dev pkg-config python3-venv zstd default-jdk-headless maven" ;;
*) echo "setup.sh: '$1': expected build, test or bench" >&2; exit 2 ;;
esac
missing=()
for p in $packages; do
    dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
echo "setup ($1): installing ${missing[*]}"
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || echo "setup: apt-get update failed; trying with the lists that are here" >&2
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    { echo "setup: could not install ${missing[*]}; install them by hand and run again" >&2; exit 1; }
