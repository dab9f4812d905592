"""The learning-rate schedule of the paper's experiments."""

from __future__ import annotations

import math
from collections.abc import Callable

from gdw_tf.checks import check_integer, check_number


def cosine_by_epoch(learning_rate: float, epochs: int) -> Callable[..., float]:
    """A cosine that falls once an epoch, for `keras.callbacks.LearningRateScheduler`.

    Args:
        learning_rate: the rate of epoch 0.
        epochs: length of the run; the rate would reach 0 in the epoch after its last.

    Raises:
        TypeError: `learning_rate` is not a number, `epochs` not an integer.
        ValueError: `learning_rate` is negative or not finite, `epochs` less than 1.

    Returns:
        A function from the epoch, counted from 0, to
        learning_rate * (1 + cos(pi * epoch / epochs)) / 2.
    """
    check_number("learning_rate", learning_rate, 0.0)
    check_integer("epochs", epochs, 1)

    def rate(epoch: int, current_rate: float | None = None) -> float:
        return learning_rate * (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0

    return rate
