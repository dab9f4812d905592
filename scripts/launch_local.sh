#!/usr/bin/env bash
# Starts N workers of one training on this machine, for a try: scripts/launch_local.sh N [flags of gdw_tf.train].
# Each is a process as another machine would run it. Where one fails the others find out and end.
set -euo pipefail

if ! [[ "${1:-}" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: scripts/launch_local.sh N [flags of gdw_tf.train]" >&2
  exit 2
fi
count=$1
shift

# shellcheck source-path=SCRIPTDIR source=setup_environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_environment.sh"
set_up_environment

workers=$("$environment_python" - "$count" <<'PYTHON'
import json, socket, sys

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(json.dumps([f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]))
PYTHON
)
trap 'jobs -p | xargs -r kill 2>/dev/null' EXIT
processes=()
for ((index = 0; index < count; index++)); do
  TF_CONFIG="{\"cluster\": {\"worker\": $workers}, \"task\": {\"type\": \"worker\", \"index\": $index}}" \
      "$environment_python" -m gdw_tf.train --strategy=multi_worker "$@" &
  processes+=($!)
done
code=0
for process in "${processes[@]}"; do
  wait "$process" || code=$?
done
exit "$code"
