"""The flags of programs that run or time several methods."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

METHODS = flags.DEFINE_list(
    "methods", None, "Methods, such as gdw:memory=0.7; default: as the program says above."
)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each method is run with each.")
JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "Runs at a time; with several, seconds a step are those of a shared processor.",
    lower_bound=1,
)


def methods_or(default: Sequence[str]) -> Sequence[str]:
    """The methods that were named; if none were, a program's own choice."""
    return default if METHODS.value is None else METHODS.value
