#!/usr/bin/env bash
# Train: scripts/train.sh [flags of gdw_tf.train]. Makes .venv on its first run.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=setup_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
set_up_environment

exec "$environment_python" -m gdw_tf.train "$@"
