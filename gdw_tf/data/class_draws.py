"""Drawing examples class by class, the step that meta sets, subsets and long tails share."""

from __future__ import annotations

import numpy as np


def draw_per_class(
    labels: np.ndarray, counts: np.ndarray, random_state: np.random.RandomState
) -> np.ndarray:
    """Draws a number of examples of each class, without replacement.

    How much randomness a class uses does not depend on `counts`, so from the same generator a
    smaller draw is always part of a larger one.

    Args:
        labels: Class indices, int64, shape (N,).
        counts: How many examples to draw of each class, shape (C,). Of a class that has fewer,
            all are drawn.
        random_state: The generator.

    Returns:
        The indices drawn, int64, ascending.
    """
    drawn = [
        random_state.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def balanced_counts(
    total: int, num_classes: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Divides a total over the classes as evenly as whole numbers allow.

    Args:
        total: Number of examples.
        num_classes: Number of classes C.
        random_state: Draws the classes that get one more when C does not divide the total.

    Returns:
        The number of examples of each class, int64, shape (C,), with the given sum.
    """
    counts = np.full(num_classes, total // num_classes, dtype=np.int64)
    counts[random_state.permutation(num_classes)[: total % num_classes]] += 1
    return counts
