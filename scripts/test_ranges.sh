#!/usr/bin/env bash
# Test the ends of the supported ranges: scripts/test_ranges.sh [arguments of pytest].
# Each end gets an environment of its own in .venv-ranges/, and runs the tests of what touches Keras most: the steps,
# fit, saving, checkpoints, parity and the training program. PYTHON_OLDEST and PYTHON_NEWEST are the interpreters.
set -euo pipefail

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
tests=(
  tests/methods/test_meta_gradient.py
  tests/methods/test_algorithm_steps.py
  tests/methods/test_saving.py
  tests/methods/test_fit.py
  tests/test_parity.py
  tests/test_callbacks.py
  tests/test_checkpoints.py
  tests/programs/test_train.py
)

# test_end NAME PYTHON PACKAGE... -- [arguments of pytest]: the tests with these versions.
test_end() {
  local name="$1" python="$2" packages=()
  shift 2
  while [[ "$1" != -- ]]; do
    packages+=("$1")
    shift
  done
  shift
  local environment="$repository/.venv-ranges/$name"
  "$python" -m venv --clear "$environment"
  "$environment/bin/python" -m pip install --quiet --upgrade pip
  "$environment/bin/python" -m pip install --quiet --editable "$repository" ${packages[@]+"${packages[@]}"} pytest hypothesis
  "$environment/bin/python" -c 'import platform, keras, tensorflow
print(f"Python {platform.python_version()}, TensorFlow {tensorflow.__version__}, Keras {keras.__version__}")'
  "$environment/bin/python" -m pytest -q "$@" "${tests[@]}"
}

cd "$repository"
test_end oldest "${PYTHON_OLDEST:-python3.10}" 'tensorflow==2.20.*' 'keras==3.10.*' -- "$@"
test_end newest "${PYTHON_NEWEST:-python3.13}" -- "$@"
