#!/usr/bin/env bash
# Fails if a file is not as .clang-format says. The version decides details, so only that of Debian 12 is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format >/dev/null || { echo "ok - format # SKIP no clang-format"; exit 0; }
clang-format --version | grep -q 'version 14\.' || { echo "ok - format # SKIP $(clang-format --version), expected version 14"; exit 0; }
bad=$(git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror 2>&1 | grep 'error:' || true)
[ -z "$bad" ] || { echo "$bad" | head -20; echo "not ok - format: run make format"; exit 1; }
echo "ok - format"
