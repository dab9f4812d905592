"""What a machine does to a run, in one line: no room on the disk or in memory, files that vanish.

What is not recognised here is a mistake of the program, whose traceback is worth having.
"""

from __future__ import annotations

import errno
import re

import tensorflow as tf

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_MACHINE = (*NO_ROOM, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
SMALLER = (
    "Smaller --batch_size and --meta_batch_size take less; so do --virtual_scope=last_stage and "
    "--precision=mixed_bfloat16."
)


def reason(error: BaseException) -> str | None:
    """Says what of the machine an error comes from.

    Args:
        error: any.

    Returns:
        Sentences on one line; `None` for an error that is not the machine's.
    """
    if isinstance(error, FloatingPointError):
        return str(error)
    if isinstance(error, OSError) and error.errno in OF_MACHINE:
        return _sentence(str(error))
    if isinstance(error, MemoryError):
        return f"{_sentence(f'Not enough memory. {error}')} {SMALLER}"
    text = str(getattr(error, "message", error))
    # Libraries in C hand the system's words on, in errors of their own kinds.
    of_disk = _line("no space left|disk quota exceeded|file too large|read-only file", text)
    if of_disk:
        return _sentence(of_disk)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return _sentence("Not enough memory. " + _line("OOM", text)) + f" {SMALLER}"
    return None


def _line(pattern: str, text: str) -> str:
    """The line of a message in which a pattern occurs, without where in the graph it came up."""
    line = next((line for line in text.splitlines() if re.search(pattern, line, re.I)), "")
    return re.sub(r"\s*(\{\{.*?\}\}|\[\[.*|\[Op:.*?\])\s*", " ", line).strip()[:300]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."
