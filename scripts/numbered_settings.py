"""The choice of a table's settings by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from absl import flags

Setting = TypeVar("Setting")

ONLY = flags.DEFINE_list("settings", None, "Settings to run, by number from 1; default all.")


def chosen(settings: Mapping[str, Setting]) -> dict[str, tuple[str, Setting]]:
    """The settings that `--settings` names, or all.

    Args:
        settings: all of a table, by title.

    Returns:
        By title the number, which names the directory of the runs, and the setting.

    Raises:
        ValueError: there is no such setting.
    """
    numbered = {str(number): one for number, one in enumerate(settings.items(), start=1)}
    numbers = ONLY.value or list(numbered)
    if not set(numbers) <= numbered.keys():
        raise ValueError(
            f"settings must be numbers from 1 to {len(settings)}. Received: {','.join(numbers)}"
        )
    return {title: (number, setting) for number in numbers for title, setting in [numbered[number]]}
