"""What a figure was made by, for the lines below a table."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import gdw_tf


def made_by() -> str:
    """Says in a sentence on what kind of machine and by which version figures were made."""
    try:
        described = subprocess.run(
            ["git", "-C", Path(gdw_tf.__file__).parent, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        commit = described.stdout.strip() or "unknown"
    except OSError:  # no git
        commit = "unknown"
    return f"{platform.machine()} CPU, gdw_tf {gdw_tf.__version__}, commit {commit}."


def command(program: str) -> str:
    """What was run, without the places where this machine has things.

    Args:
        program: as a user calls it from the root of the repository.
    """
    places = ("--workdir", "--out", "--data_dir")
    said = [word for word in sys.argv[1:] if not word.startswith(places)]
    return shlex.join(["python", program, *said])
