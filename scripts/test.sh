#!/usr/bin/env bash
# Lint, check the formatting and test: scripts/test.sh [arguments of pytest]. Makes .venv on its first run.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=setup_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
set_up_environment test

cd "$repository"
"$environment_python" -m ruff check
"$environment_python" -m ruff format --check
# Checkpoints are brought to the disk, for which tests wait long where it is slow.
room="$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || true)"
options="$(findmnt --noheadings --output OPTIONS --target /dev/shm 2>/dev/null || echo noexec)"
if [[ "$room" =~ ^[0-9]+$ ]] && ((room > 8 * 1024 * 1024)) && [[ "$options" != *noexec* ]]; then
  export PYTEST_DEBUG_TEMPROOT="${PYTEST_DEBUG_TEMPROOT:-/dev/shm}"
fi
# A process a core; a file's tests stay together, for they share what is costly to make.
"$environment_python" -m pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"
