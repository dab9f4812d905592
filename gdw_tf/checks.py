"""Checks of arguments at the border of the package.

A public function calls these before it does any work, so that a mistake is reported in one line
which names the value received and the values allowed. Private functions assume.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


def check_integer(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """Returns `value` as an `int`.

    Args:
        name: What the caller calls the value; the error message starts with it.
        value: A Python or NumPy integer.
        minimum: The smallest value allowed.
        maximum: The largest value allowed; `None` for no limit.

    Returns:
        The value as a Python integer.

    Raises:
        TypeError: If the value is not an integer (a boolean or a float is none).
        ValueError: If it lies outside the range.
    """
    allowed = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(
            f"{name} must be an integer. Received: {name}={value!r}; allowed: {allowed}."
        )
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(f"{name} is out of range. Received: {name}={value}; allowed: {allowed}.")
    return int(value)


def check_number(
    name: str,
    value: object,
    minimum: float = -math.inf,
    *,
    exclusive: bool = False,
    maximum: float | None = None,
    below: float | None = None,
) -> None:
    """Checks that a value is a finite real number within a range.

    Args:
        name: What the caller calls the value.
        value: The value.
        minimum: The smallest value allowed; by default there is none.
        exclusive: Whether the minimum itself is not allowed.
        maximum: The largest value allowed; `None` for none.
        below: The number that the value must be below; `None` for none.

    Raises:
        TypeError: If the value is not a real number.
        ValueError: If it lies outside the range, is infinite or not a number (NaN).
    """
    allowed = _range_in_words(minimum, exclusive, maximum, below)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number. Received: {name}={value!r}; allowed: {allowed}.")
    if not (
        -math.inf < value < math.inf
        and (value > minimum if exclusive else value >= minimum)
        and (maximum is None or value <= maximum)
        and (below is None or value < below)
    ):
        raise ValueError(f"{name} is out of range. Received: {name}={value}; allowed: {allowed}.")


def _range_in_words(
    minimum: float, exclusive: bool, maximum: float | None, below: float | None
) -> str:
    if maximum is None and below is None:
        return f"numbers {'above' if exclusive else 'from'} {minimum:g}, and finite"
    limit = f"below {below:g}" if maximum is None else f"up to {maximum:g}"
    if minimum == -math.inf:
        return f"{limit}, and finite"
    if exclusive:
        return f"above {minimum:g}, {limit}"
    return f"{minimum:g} to {limit.removeprefix('up to ')}"


def check_rate(name: str, value: object) -> None:
    """Checks that a share, such as a noise rate, lies between 0 and 1; see `check_number`."""
    check_number(name, value, 0.0, maximum=1.0)


def check_boolean(name: str, value: object) -> bool:
    """Returns `value` as a `bool`.

    Args:
        name: What the caller calls the value.
        value: A Python or NumPy boolean.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(
            f"{name} must be a boolean. Received: {name}={value!r}; allowed: True, False."
        )
    return bool(value)


def is_printable(text: str) -> bool:
    """Whether text can stand in one line of a report: it has no control characters or line breaks.

    Other separators and marks are part of many scripts. Bytes that are no UTF-8, which Python takes
    for surrogates in names of files, cannot be printed.
    """
    return not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def check_labels(name: str, labels: ArrayLike, num_classes: int) -> np.ndarray:
    """Returns `labels` as a vector of int64.

    Args:
        name: What the caller calls the labels.
        labels: One class index an example, shape (N,), any integer dtype, N at least 1.
        num_classes: Number of classes, at least 2.

    Returns:
        The labels, int64, shape (N,).

    Raises:
        TypeError: If the dtype is not an integer one.
        ValueError: If there are no labels, they are not a vector, or one is not a class index.
    """
    check_integer("num_classes", num_classes, 2)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(
            f"{name} must be one class index an example. Received: shape {labels.shape}; "
            "allowed: (N,) with N of 1 or more."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(
            f"{name} must be class indices. Received: dtype {labels.dtype}; "
            "allowed: integer dtypes."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{name} holds a label that is no class. Received: labels from {labels.min()} to "
            f"{labels.max()}; allowed: 0 to {num_classes - 1}."
        )
    return labels.astype(np.int64)


def one_line(error: object, length: int = 300) -> str:
    """The message of an error, such as one of Keras's, as a part of one line.

    Args:
        error: The error, or its message.
        length: The most characters of the answer.

    Returns:
        The message without line breaks, colours of a terminal, and other characters that cannot be
        printed.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = " ".join(text.split())
    text = "".join(one if is_printable(one) else "?" for one in text)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def check_directory(name: str, path: Path) -> None:
    """Checks that a directory is there or can be made, and written to; writes nothing.

    Args:
        name: What the user calls it.
        path: The directory.

    Raises:
        PermissionError: It cannot be written to.
        ValueError: It, or what it should lie in, is no directory.
    """
    _check_place(name, path, path, "be a directory")


def check_file(name: str, path: Path, suffix: str = "") -> None:
    """Checks that a file can be written, there or anew; writes nothing.

    Args:
        name: What the user calls it.
        path: The file.
        suffix: What its name must end in.

    Raises:
        PermissionError: It cannot be written.
        ValueError: It is a directory, what it should lie in is none, or its name ends otherwise.
    """
    if not path.name.endswith(suffix):
        raise ValueError(f"{name} must end in {suffix}. Received: {name}={path}")
    if path.is_dir():
        raise ValueError(f"{name} must be a file. Received: {name}={path}, which is a directory")
    _check_place(name, path, path.parent, "lie in a directory")


def _check_place(name: str, path: Path, directory: Path, must: str) -> None:
    """Checks that a directory is there or can be made, and written to."""
    there = next(one for one in (directory, *directory.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ValueError(f"{name} must {must}. Received: {name}={path}; {there} is none")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{name} cannot be written. Received: {name}={path}, in {there}")
