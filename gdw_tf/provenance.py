"""What a figure was made by, for the line below a table."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import gdw_tf


def made_by() -> str:
    """Says in a sentence on what kind of machine and by which version figures were made."""
    described = subprocess.run(
        ["git", "-C", Path(gdw_tf.__file__).parent, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    commit = described.stdout.strip() or "unknown"
    return f"{platform.machine()} CPU, gdw_tf {gdw_tf.__version__}, commit {commit}."
