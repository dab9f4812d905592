#!/usr/bin/env bash
# Lint, check the formatting and test: scripts/test.sh [arguments of pytest]. Makes .venv on its first run.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=setup_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
set_up_environment test

cd "$repository"
"$environment_python" -m ruff check
"$environment_python" -m ruff format --check
# A process a core; a file's tests stay together, for they share what is costly to make.
"$environment_python" -m pytest -q --numprocesses auto --dist loadfile "$@"
