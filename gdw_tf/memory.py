"""How much memory there is, and how much a process has taken."""

from __future__ import annotations

import os
import resource
import sys

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what the system says


def physical_memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory() -> int:
    """The most bytes that this process has taken so far, its libraries included."""
    return _UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
