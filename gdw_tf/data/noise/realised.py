"""The noise that a training set really has: counts, shares, and a table to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_labels

TABLE_CLASSES = 20
"""A table of more classes does not fit on a screen."""


def label_counts(true: ArrayLike, given: ArrayLike, num_classes: int) -> np.ndarray:
    """Counts how often each class was given each label.

    Args:
        true: True class indices, any integer dtype, shape (N,).
        given: The labels given, any integer dtype, shape (N,).
        num_classes: Number of classes C, at least 2.

    Returns:
        int64, shape (C, C): at (i, j), the images of true class i with label j.

    Raises:
        TypeError: If the labels or `num_classes` are not integers.
        ValueError: If a label is no class, or there are not as many of both.
    """
    true = check_labels("true", true, num_classes)
    given = check_labels("given", given, num_classes)
    if len(true) != len(given):
        raise ValueError(
            f"true and given must be of one length. Received: {len(true)} and {len(given)} labels."
        )
    pairs = np.bincount(true * num_classes + given, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def row_shares(counts: ArrayLike) -> np.ndarray:
    """Divides each row of counts by its sum.

    Args:
        counts: Numbers of images, shape (C, C), see `label_counts`.

    Returns:
        float64, shape (C, C), rows summing to one: the transition matrix realised. The row of a
        class without images is zero.
    """
    counts = np.asarray(counts, dtype=np.float64)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def matrix_text(counts: ArrayLike, class_names: Sequence[str]) -> str:
    """Writes the realised noise as a table.

    Args:
        counts: Numbers of images, integers, shape (C, C), see `label_counts`.
        class_names: The names of the C classes.

    Returns:
        One line a true class: its number and name, how many images it has, and the percentage of
        them with each label given. A dot stands for none at all.
    """
    counts = np.asarray(counts)
    width = max(len("true class"), *(len(name) + 4 for name in class_names))
    cells = "".join(f"{label:>6}" for label in range(len(counts)))
    lines = [
        f"{'true class':<{width}} {'images':>7} | % given label",
        f"{'':<{width + 8}} |{cells}",
    ]
    rows = zip(class_names, counts, row_shares(counts), strict=True)
    for label, (name, row, shares) in enumerate(rows):
        cells = "".join(
            f"{100 * share:>6.1f}" if count else f"{'.':>6}"
            for count, share in zip(row, shares, strict=True)
        )
        lines.append(f"{f'{label:>3} {name}':<{width}} {row.sum():>7} |{cells}")
    return "\n".join(lines)
