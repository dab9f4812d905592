"""Long-tailed training sets.

In a long tail the number of images falls geometrically from the first class to the last: of C
classes, class c keeps n_c = int(n_max * factor ** (c / (C - 1))) images, so the first keeps n_max
and the last about factor * n_max. The usual benchmark sets are CIFAR-10 and CIFAR-100 with
factors from 1 (balanced) down to 0.005; see Cui et al., "Class-Balanced Loss Based on Effective
Number of Samples", CVPR 2019.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels
from gdw_tf.data.class_draws import draw_per_class


def long_tail_counts(num_per_class: float, num_classes: int, factor: float) -> np.ndarray:
    """Gives the number of images of each class in a long tail.

    Args:
        num_per_class: Images of the first class, n_max, at least 1. It need not be whole: with
            (number of images)/C as n_max, only each n_c is rounded down.
        num_classes: Number of classes C, at least 2.
        factor: Images of the last class relative to the first, above 0 and up to 1.

    Returns:
        n_c, int64, shape (C,), never rising. With a strong imbalance the last may be 0.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If an argument is out of range.
    """
    check_integer("num_classes", num_classes, 2)
    check_factor("factor", factor)
    if not 1 <= num_per_class < np.inf:
        raise ValueError(
            f"num_per_class is out of range. Received: num_per_class={num_per_class}; "
            "allowed: 1 or more."
        )
    last = num_classes - 1
    return np.array([int(num_per_class * factor ** (c / last)) for c in range(num_classes)])


def long_tail_indices(
    labels: ArrayLike,
    num_classes: int,
    factor: float,
    random_state: np.random.RandomState,
    num_per_class: float,
) -> np.ndarray:
    """Chooses at random the images that stay in a long tail.

    Args:
        labels: True class indices, any integer dtype, shape (N,).
        num_classes: Number of classes C, at least 2.
        factor: Images of the last class relative to the first, above 0 and up to 1.
        random_state: The generator. With the same one, the tail of a smaller factor is part of
            the tail of a larger one.
        num_per_class: n_max of `long_tail_counts`. A class with fewer images than its n_c keeps
            all it has.

    Returns:
        Indices of the images kept, int64, ascending.

    Raises:
        TypeError: If the labels or `num_classes` are not integers.
        ValueError: If an argument is out of range.
    """
    labels = check_labels("labels", labels, num_classes)
    counts = long_tail_counts(num_per_class, num_classes, factor)
    return draw_per_class(labels, counts, random_state)


def check_factor(name: str, factor: float) -> None:
    """Checks that an imbalance factor is above 0 and at most 1.

    Args:
        name: What the caller calls the factor.
        factor: Images of the last class relative to the first.

    Raises:
        ValueError: If it is out of range or not a number.
    """
    if not 0 < factor <= 1:
        raise ValueError(
            f"{name} is out of range. Received: {name}={factor}; allowed: above 0 and up to 1."
        )
