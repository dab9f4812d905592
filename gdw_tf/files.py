"""Files and directories that are whole or not there, whenever the machine stops.

What is to be written is written aside, brought to the disk and moved into place. A reader sees
what was there before or what is there now, never a part of it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ASIDE = ".partial"
"""What the name of something that is being written ends in."""


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a path to write a file or a directory to, which then takes the place of `path`.

    A file is replaced in one move. A directory cannot be: for a moment there is none.

    Args:
        path: what is to be written; what stands there stays until the new one is on the disk.

    Yields:
        The path to write to, where nothing stands, in the same directory. If the block ends in an
        error it is removed and `path` stays as it was.

    Raises:
        OSError: it cannot be written, such as for want of space.
    """
    aside = path.with_name(f"{path.name}{ASIDE}")
    remove(aside)
    try:
        yield aside
        for written in [*aside.rglob("*"), aside]:
            _bring_to_disk(written)
    except BaseException:
        remove(aside)
        raise
    if path.is_dir():
        remove(path)
    os.replace(aside, path)
    _bring_to_disk(path.parent)


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Writes a file of UTF-8 in one move.

    Args:
        path: the file.
        text: what it is to hold.
        errors: what is done with characters that UTF-8 has not, as in `str.encode`.
    """
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", errors=errors)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a file of JSON in one move, a row of numbers on one line."""
    text = json.dumps(content, indent=2)
    text = re.sub(r"\[\s*([-+.\deE,\s]+?)\s*\]", lambda row: f"[{' '.join(row[1].split())}]", text)
    write_text(path, text + "\n")


def remove(path: Path) -> None:
    """Removes a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _bring_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without it
            raise
    finally:
        os.close(descriptor)
