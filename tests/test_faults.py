"""Real trainings, killed at random moments and gone on with: see `scripts/faults.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kills", "cases"),
    [(5, "gdw"), pytest.param(60, None, marks=pytest.mark.nightly)],
)
def test_a_killed_training_ends_as_if_it_had_not_been_killed(kills, cases, tmp_path):
    flags = [f"--kills={kills}", f"--folder={tmp_path}"]
    finished = subprocess.run(
        [sys.executable, "-m", "scripts.faults", *flags, *([f"--cases={cases}"] if cases else [])],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout.endswith(f"\n{kills} of {kills} identical\n")
