"""What the value of a setting may be, and as which kind of flag it is read.

A setting is declared once, in `gdw_tf.settings`, with one of these; its check, the sentence that
says what is wrong with a value, and its flag follow.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What a setting may be.

    Attributes:
        flag: as what a command line has it: `integer`, `float`, `bool`, `string` or `list`.
        check: takes a name and a value that is not `None`, and raises an error of one sentence
            where the value is not allowed.
        optional: whether `None` is allowed, for what other settings decide; default not.
    """

    flag: str
    check: Callable[[str, Any], object]
    optional: bool = False

    @property
    def or_none(self) -> Allowed:
        """The same, or `None`."""
        return dataclasses.replace(self, optional=True)

    def mistake(self, name: str, value: Any) -> str | None:
        """A sentence about a value that is not allowed; `None` about one that is."""
        if value is None and self.optional:
            return None
        try:
            self.check(name, value)
        except (ValueError, TypeError) as error:
            return str(error)
        return None


def values_where(flag: str, holds: Callable[[Any], bool], said: str) -> Allowed:
    """The values that a condition holds for.

    Args:
        flag: see `Allowed`.
        holds: the condition.
        said: the condition in words.
    """

    def check(name: str, value: Any) -> None:
        if value is None or not holds(value):
            shown = value if isinstance(value, str | numbers.Real) else repr(value)
            if isinstance(value, tuple):
                shown = ",".join(map(str, value))
            raise ValueError(f"{name} is out of range. Received: {name}={shown}; allowed: {said}.")

    return Allowed(flag, check)


def numbers_of(kind: type[numbers.Real], said: str, contains: Callable[[Any], bool]) -> Allowed:
    """Integers (`numbers.Integral`), or finite numbers (`numbers.Real`), within a range."""

    def holds(value: Any) -> bool:
        is_number = isinstance(value, kind) and not isinstance(value, bool | np.bool_)
        return is_number and math.isfinite(value) and contains(value)

    return values_where("integer" if kind is numbers.Integral else "float", holds, said)


def one_of(choices: Sequence[str]) -> Allowed:
    """One of some words."""
    return values_where("string", tuple(choices).__contains__, ", ".join(choices))


LARGEST = 2**31 - 1
"""Of counts: no run has more epochs, or more examples a batch."""
COUNT = numbers_of(
    numbers.Integral, f"at least 1, up to {LARGEST}", lambda value: 1 <= value <= LARGEST
)
# Up to the largest that Keras's own generator takes.
SEED = numbers_of(numbers.Integral, "at least 0, below 2**32", lambda value: 0 <= value < 2**32)
SHARE = numbers_of(numbers.Real, "0 to 1", lambda value: 0.0 <= value <= 1.0)
NOT_ALL = numbers_of(numbers.Real, "0 to below 1", lambda value: 0.0 <= value < 1.0)
NOT_NONE = numbers_of(numbers.Real, "above 0, up to 1", lambda value: 0.0 < value <= 1.0)
FROM_0 = numbers_of(numbers.Real, "at least 0, and finite", lambda value: value >= 0.0)
ABOVE_0 = numbers_of(numbers.Real, "above 0, and finite", lambda value: value > 0.0)
BOOLEAN = values_where("bool", lambda value: isinstance(value, bool), "True, False")
TEXT = values_where("string", lambda value: isinstance(value, str), "text")
