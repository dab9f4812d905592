# Sourced by the other scripts: gives them $repository (its root), $environment_python and
# set_up_environment, which makes the virtual environment .venv where it is missing or broken.
# shellcheck shell=bash

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
environment="$repository/.venv"
environment_python="$environment/bin/python"

# is_supported PYTHON: whether that interpreter runs and is as new as pyproject.toml asks.
is_supported() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' &>/dev/null
}

# set_up_environment [EXTRA]: install this project, editable, with requirements.txt and the optional
# dependencies EXTRA of pyproject.toml. Nothing is done where that was done before: the stamp file
# holds everything that the environment was made from.
set_up_environment() {
  local extra="${1:-}"
  local python="${PYTHON:-python3}"
  local stamp_file="$environment/installed${extra:+-$extra}"
  local stamp
  stamp="$(echo "$repository" && cat "$repository/requirements.txt" "$repository/pyproject.toml")"

  if ! is_supported "$environment_python" || ! "$environment_python" -m pip --version &>/dev/null; then
    if ! is_supported "$python"; then
      echo "Python 3.10 or newer is needed. Received: PYTHON=$python; set PYTHON to another." >&2
      exit 1
    fi
    echo "Making the virtual environment $environment" >&2
    "$python" -m venv --clear "$environment"
  fi
  if [[ ! -f "$stamp_file" || "$(<"$stamp_file")" != "$stamp" ]]; then
    echo "Installing the requirements into $environment (the first time takes minutes)" >&2
    "$environment_python" -m pip install --quiet --disable-pip-version-check \
      --editable "$repository${extra:+[$extra]}"
    echo "$stamp" >"$stamp_file"
  fi
}
