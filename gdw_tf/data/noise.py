"""Label noise as a transition matrix.

Class-conditional label noise is described by a row-stochastic matrix T of shape (C, C): an image
of true class i is given label j with probability T[i, j]. Two kinds are common in the literature:

- *uniform* (symmetric): with probability r the label is replaced by one drawn uniformly from all
  C classes. The draw may hit the true class, so a label is kept with probability 1 - r + r/C;
  40 % uniform noise on 10 classes makes 36 % of the labels wrong.
- *flip* (asymmetric): with probability r the label is replaced by that of one other class, the
  same for all images of a class.

A matrix is a value: print it, average it, compare it with an estimate, or write your own one for
`corrupt`. The flip targets for 10 and 100 classes are those of the experiments in "Generalized
DataWeighting via Class-Level Gradient Manipulation" (Chen et al., NeurIPS 2021,
arXiv:2111.00056), so that flip noise means the same here as there.
"""

from __future__ import annotations

import importlib.resources
import json

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels, check_rate
from gdw_tf.data.random import generator

KINDS = ("none", "uniform", "flip")


def uniform_matrix(num_classes: int, rate: float) -> np.ndarray:
    """Makes the transition matrix of uniform noise.

    Args:
        num_classes: Number of classes C, at least 2.
        rate: Probability r that a label is replaced by one drawn from all C classes, 0 to 1.

    Returns:
        float64, shape (C, C): 1 - r + r/C on the diagonal and r/C elsewhere.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If an argument is out of range.
    """
    check_integer("num_classes", num_classes, 2)
    check_rate("rate", rate)
    return (1 - rate) * np.eye(num_classes) + rate / num_classes


def flip_matrix(num_classes: int, rate: float, targets: ArrayLike) -> np.ndarray:
    """Makes the transition matrix of flip noise.

    Args:
        num_classes: Number of classes C, at least 2.
        rate: Probability r that a label is replaced, 0 to 1.
        targets: The class that each class is taken for, integers, shape (C,); see `flip_targets`.

    Returns:
        float64, shape (C, C): 1 - r on the diagonal and r at each class's target.

    Raises:
        TypeError: If `num_classes` or the targets are not integers.
        ValueError: If an argument is out of range, or a class is its own target.
    """
    check_integer("num_classes", num_classes, 2)
    check_rate("rate", rate)
    targets = check_labels("targets", targets, num_classes)
    if len(targets) != num_classes:
        raise ValueError(
            f"targets must name one class for each class. Received: {len(targets)} targets; "
            f"allowed: {num_classes}."
        )
    own = np.flatnonzero(targets == np.arange(num_classes))
    if own.size:
        raise ValueError(
            f"targets must be other classes. Received: class {own[0]} as its own target; "
            "allowed: any class but itself."
        )
    identity = np.eye(num_classes)
    return (1 - rate) * identity + rate * identity[targets]


def flip_targets(num_classes: int) -> np.ndarray:
    """Gives the class that each class is taken for under flip noise.

    Args:
        num_classes: Number of classes C, at least 2.

    Returns:
        int64, shape (C,), no class its own target. For 10 and 100 classes the map of the GDW
        experiments; for any other C one drawn with a fixed seed, the same in every run.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If it is less than 2.
    """
    check_integer("num_classes", num_classes, 2)
    maps = json.loads(importlib.resources.files(__package__).joinpath("flip_maps.json").read_text())
    if str(num_classes) in maps:
        return np.asarray(maps[str(num_classes)], dtype=np.int64)
    # A draw among the C - 1 others: numbers from the class itself on stand for the next class.
    targets = generator(0, "flip targets").randint(num_classes - 1, size=num_classes)
    return (targets + (targets >= np.arange(num_classes))).astype(np.int64)


def transition_matrix(kind: str, num_classes: int, rate: float) -> np.ndarray:
    """Makes the transition matrix of a kind of noise.

    Args:
        kind: One of `KINDS`: "none", "uniform" or "flip".
        num_classes: Number of classes C, at least 2.
        rate: Noise rate r, 0 to 1; 0 if the kind is "none".

    Returns:
        float64, shape (C, C), rows summing to one; the identity if the kind is "none".

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If the kind is unknown, an argument is out of range, or a rate is given for no
            noise.
    """
    check_integer("num_classes", num_classes, 2)
    check_rate("rate", rate)
    if kind == "none":
        if rate != 0:
            raise ValueError(
                f"There is no rate without noise. Received: kind='none', rate={rate}; allowed: "
                "rate 0, or one of the kinds 'uniform' and 'flip'."
            )
        return np.eye(num_classes)
    if kind == "uniform":
        return uniform_matrix(num_classes, rate)
    if kind == "flip":
        return flip_matrix(num_classes, rate, flip_targets(num_classes))
    raise ValueError(
        f"Unknown kind of noise. Received: kind={kind!r}; allowed: {', '.join(KINDS)}."
    )


def corrupt(
    labels: ArrayLike, matrix: ArrayLike, random_state: np.random.RandomState
) -> np.ndarray:
    """Draws for each label the one that is given instead.

    Every label is drawn on its own from its class's row of the matrix, by the inverse of the
    row's cumulative distribution at one uniform number a label. Two matrices with the same
    generator therefore use the same uniform numbers.

    Args:
        labels: True class indices, any integer dtype, shape (N,).
        matrix: Transition matrix, shape (C, C), rows summing to one.
        random_state: The generator, see `gdw_tf.data.random`.

    Returns:
        The labels given, int64, shape (N,).

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If a label is no class, or the matrix is no transition matrix.
    """
    matrix = _check_matrix(matrix)
    labels = check_labels("labels", labels, len(matrix))
    cumulative = matrix.cumsum(axis=1)
    # Rounding may leave the last sum just below 1; a uniform number above it would have no class.
    cumulative /= cumulative[:, -1:]
    uniform = random_state.random_sample(len(labels))
    given = np.empty_like(labels)
    for label in np.unique(labels):
        members = labels == label
        given[members] = np.searchsorted(cumulative[label], uniform[members], side="right")
    return given


def _check_matrix(matrix: ArrayLike) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"matrix must be square. Received: shape {matrix.shape}; allowed: (C, C) with C of 2 "
            "or more."
        )
    if not matrix.min() >= 0:
        raise ValueError(
            f"matrix must hold probabilities. Received: an entry of {matrix.min()}; "
            "allowed: 0 to 1."
        )
    sums = matrix.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > 1e-6:
        raise ValueError(f"matrix must have rows that sum to one. Received: a sum of {worst}.")
    return matrix
