"""Imbalanced training sets.

Of C classes, class c keeps n_c images:

- *exponential*, the long tail: n_c = int(n_max * factor ** (c / (C - 1))), falling geometrically
  from n_max to about factor * n_max. The usual benchmark sets are CIFAR-10 and CIFAR-100 with
  factors from 1 (balanced) down to 0.005; see Cui et al., "Class-Balanced Loss Based on Effective
  Number of Samples", CVPR 2019.
- *step*: the first classes keep n_max, the last floor(C/2) int(n_max * factor); see Buda et al.,
  "A systematic study of the class imbalance problem in convolutional neural networks", Neural
  Networks 2018, and Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
  Loss", NeurIPS 2019.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels, check_number
from gdw_tf.data.class_draws import draw_per_class

KINDS = ("exponential", "step")


def imbalanced_counts(
    num_per_class: float, num_classes: int, factor: float, kind: str = "exponential"
) -> np.ndarray:
    """Gives the number of images of each class in an imbalanced set.

    Args:
        num_per_class: Images of the first class, n_max, at least 1. It need not be whole: with
            (number of images)/C as n_max, only each n_c is rounded down.
        num_classes: Number of classes C, at least 2.
        factor: Images of the last class relative to the first, above 0 and up to 1.
        kind: One of `KINDS`: "exponential" or "step".

    Returns:
        n_c, int64, shape (C,), never rising. With a strong imbalance the last may be 0.

    Raises:
        TypeError: If `num_classes` is not an integer, or another argument not a number.
        ValueError: If an argument is out of range or the kind unknown.
    """
    check_kind("kind", kind)
    check_integer("num_classes", num_classes, 2)
    check_factor("factor", factor)
    check_number("num_per_class", num_per_class, 1.0)
    if kind == "step":
        few = num_classes // 2
        exponents = [0] * (num_classes - few) + [1] * few
    else:
        exponents = [c / (num_classes - 1) for c in range(num_classes)]
    return np.array([int(num_per_class * factor**exponent) for exponent in exponents])


def imbalanced_indices(
    labels: ArrayLike,
    num_classes: int,
    factor: float,
    random_state: np.random.RandomState,
    num_per_class: float,
    kind: str = "exponential",
) -> np.ndarray:
    """Chooses at random the images that stay in an imbalanced set.

    Args:
        labels: True class indices, any integer dtype, shape (N,).
        num_classes: Number of classes C, at least 2.
        factor: Images of the last class relative to the first, above 0 and up to 1.
        random_state: The generator. With the same one, the set of a smaller factor is part of the
            set of a larger one.
        num_per_class: n_max of `imbalanced_counts`. A class with fewer images than its n_c keeps
            all it has.
        kind: One of `KINDS`: "exponential" or "step".

    Returns:
        Indices of the images kept, int64, ascending.

    Raises:
        TypeError: If the labels or `num_classes` are not integers.
        ValueError: If an argument is out of range or the kind unknown.
    """
    labels = check_labels("labels", labels, num_classes)
    counts = imbalanced_counts(num_per_class, num_classes, factor, kind)
    return draw_per_class(labels, counts, random_state)


def check_kind(name: str, kind: str) -> None:
    """Checks that a kind of imbalance is one of `KINDS`.

    Args:
        name: What the caller calls the kind.
        kind: The kind.

    Raises:
        ValueError: If it is unknown.
    """
    if kind not in KINDS:
        raise ValueError(
            f"Unknown kind of imbalance. Received: {name}={kind!r}; allowed: {', '.join(KINDS)}."
        )


def check_factor(name: str, factor: object) -> None:
    """Checks that an imbalance factor is above 0 and at most 1; see `check_number`."""
    check_number(name, factor, 0.0, exclusive=True, maximum=1.0)
