#!/usr/bin/env bash
# A simulated market of 2,000 symbols, a dozen rules, alerts as they come. Needs no server. ctrl-C ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${DEMO_DIR:-build/demo}
[ -e "$dir/capture" ] && ! build/ringtape rings --dir "$dir" >/dev/null 2>&1 && rm -rf "$dir"
cat <<EOF
A simulated market of 2,000 symbols from 09:28 New York, at real speed; rules: scripts/demo-rules.json.
In a second terminal:   build/ringtape top --dir $dir      (q leaves it)
                        build/ringtape rings --dir $dir --watch
ctrl-C stops everything. Alerts as they come (New York time):

EOF
exec build/ringtape run --source "sim:symbols=2000,seed=1,start=2026-03-02T09:28:00-05:00,rate=3000,bad=0" \
    --rules scripts/demo-rules.json --dir "$dir" --show ${DEMO_ARGS:-}
