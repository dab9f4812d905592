"""Counting the steps of an epoch."""

from __future__ import annotations

from typing import Any


def steps_done(batch: int, params: dict[str, Any] | None) -> int:
    """How many steps an epoch has taken.

    Args:
        batch: the last one, counted from 0, as Keras says at its end. Where several steps are
            executed together (`steps_per_execution`), it counts beyond the end of the epoch.
        params: of the callback; with the epoch's steps where they are known.
    """
    steps = (params or {}).get("steps")
    return min(batch + 1, steps) if steps else batch + 1
