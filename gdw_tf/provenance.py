"""What a figure was made by, for the lines below a table."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

import gdw_tf

_PLACES = ("--workdir", "--out", "--data_dir")


def made_by() -> str:
    """Says in a sentence on what kind of machine and by which version figures were made."""
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return f"{platform.machine()} {device}, gdw_tf {gdw_tf.__version__}, commit {_commit()}."


def command(program: str) -> str:
    """What was run, without the places where this machine has things.

    Args:
        program: as a user calls it from the root of the repository.
    """
    said, words = [], iter(sys.argv[1:])
    for word in words:
        name, separator, _ = word.partition("=")
        if name not in _PLACES:
            said.append(word)
        elif not separator:  # the place is the word behind it
            next(words, None)
    return shlex.join(["python", program, *said])


def _commit() -> str:
    """The commit of this library's own repository; not of one that it is installed within."""
    root = Path(gdw_tf.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return "unknown"
    try:
        described = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git
        return "unknown"
    return described.stdout.strip() or "unknown"
