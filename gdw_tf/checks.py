"""Checks of arguments at the border of the package.

A public function calls these before it does any work, so that a mistake is reported in one line
which names the value received and the values allowed. Private functions assume.
"""

from __future__ import annotations

import numbers

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
    minimum: float,
    *,
    exclusive: bool = False,
    below: float | None = None,
) -> None:
    """Checks that a value is a real number of at least `minimum`.

    Args:
        name: What the caller calls the value.
        value: The value.
        minimum: The smallest value allowed.
        exclusive: Whether the minimum itself is not allowed.
        below: The number that the value must be below; `None` for none.

    Raises:
        TypeError: If the value is not a real number.
        ValueError: If it lies outside the range or is not a number (NaN).
    """
    allowed = f"numbers {'above' if exclusive else 'from'} {minimum:g}"
    if below is not None:
        allowed = f"{minimum:g} to below {below:g}"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number. Received: {name}={value!r}; allowed: {allowed}.")
    if not (value > minimum if exclusive else value >= minimum) or (
        below is not None and value >= below
    ):
        raise ValueError(f"{name} is out of range. Received: {name}={value}; allowed: {allowed}.")


def check_rate(name: str, value: float) -> None:
    """Checks that a share, such as a noise rate, lies between 0 and 1.

    Args:
        name: What the caller calls the value.
        value: The share.

    Raises:
        ValueError: If it lies outside [0, 1] or is not a number.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is out of range. Received: {name}={value}; allowed: 0 to 1.")


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
