"""Transition matrices that hold for any classes, and labels drawn from a transition matrix.

A matrix is a value: print it, average it, compare it with an estimate, or write your own one for
`corrupt`. Which classes `flip` and `flip2` mix up is drawn once and for all, as in the line of
experiments from Meta-Weight-Net (Shu et al., NeurIPS 2019, arXiv:1902.07379) to "Generalized
DataWeighting via Class-Level Gradient Manipulation" (Chen et al., NeurIPS 2021,
arXiv:2111.00056), so that these kinds of noise mean the same here as there.
"""

from __future__ import annotations

import importlib.resources
import json

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels, check_rate, one_line
from gdw_tf.data.random import generator


def uniform_matrix(num_classes: int, rate: float) -> np.ndarray:
    """Makes the transition matrix of uniform (symmetric) noise.

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
    """Makes the transition matrix of noise that sends each class to one or a few others.

    Args:
        num_classes: Number of classes C, at least 2.
        rate: Probability r that a label is replaced, 0 to 1.
        targets: The class that each class is taken for, integers, shape (C,); or k different
            ones, shape (C, k). See `flip_targets` and `flip2_targets`.

    Returns:
        float64, shape (C, C): 1 - r on the diagonal and r/k at each of a class's targets.

    Raises:
        TypeError: If `num_classes` or the targets are not integers.
        ValueError: If an argument is out of range, a class is its own target, or one is named
            twice.
    """
    check_integer("num_classes", num_classes, 2)
    check_rate("rate", rate)
    targets = np.asarray(targets)
    if targets.ndim not in (1, 2) or len(targets) != num_classes:
        raise ValueError(
            f"targets must name one or more classes for each class. Received: {len(targets)} "
            f"targets; allowed: {num_classes}."
        )
    check_labels("targets", targets.ravel(), num_classes)
    targets = targets.reshape(num_classes, -1).astype(np.int64)
    own = np.flatnonzero((targets == np.arange(num_classes)[:, np.newaxis]).any(axis=1))
    if own.size:
        raise ValueError(
            f"targets must be other classes. Received: class {own[0]} as its own target; "
            "allowed: any class but itself."
        )
    identity = np.eye(num_classes)
    replacement = identity[targets].mean(axis=1)
    twice = np.flatnonzero(np.count_nonzero(replacement, axis=1) < targets.shape[1])
    if twice.size:
        raise ValueError(
            f"targets must differ. Received: {targets[twice[0]].tolist()} for class {twice[0]}; "
            "allowed: each class once."
        )
    return (1 - rate) * identity + rate * replacement


def pair_matrix(num_classes: int, rate: float) -> np.ndarray:
    """Makes the transition matrix of pair noise: each class is taken for the next one.

    Known as pair flipping from "Co-teaching" (Han et al., NeurIPS 2018, arXiv:1804.06872). At
    rates of one half and more the true class is no longer the most frequent one.

    Args:
        num_classes: Number of classes C, at least 2.
        rate: Probability r that a label is replaced, 0 to 1.

    Returns:
        float64, shape (C, C): 1 - r on the diagonal and r at (i, i + 1 mod C).

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If an argument is out of range.
    """
    check_integer("num_classes", num_classes, 2)
    return flip_matrix(num_classes, rate, np.roll(np.arange(num_classes), -1))


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


def flip2_targets(num_classes: int) -> np.ndarray:
    """Gives the two classes that each class is taken for under flip2 noise.

    They are drawn as the Meta-Weight-Net experiments draw them: class after class, two of the
    others without replacement, from NumPy's legacy generator with seed 1.

    Args:
        num_classes: Number of classes C, at least 3.

    Returns:
        int64, shape (C, 2), two different classes a row, neither of them the row's own.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If it is less than 3.
    """
    check_integer("num_classes", num_classes, 3)
    random_state = np.random.RandomState(1)
    classes = np.arange(num_classes)
    return np.array(
        [
            random_state.choice(np.delete(classes, label), size=2, replace=False)
            for label in classes
        ],
        dtype=np.int64,
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
    matrix = check_matrix(matrix)
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


def check_matrix(matrix: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Returns a transition matrix as float64.

    Args:
        matrix: The matrix, any numbers, shape (C, C).
        num_classes: Number of classes C; `None` for any.

    Returns:
        The matrix, float64.

    Raises:
        ValueError: If it is not square with a row for each of two or more classes, or a row holds
            a negative number or does not sum to one within 1e-6.
    """
    try:
        matrix = np.asarray(matrix, dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(
            f"matrix must be numbers. Received: {one_line(repr(matrix), 80)}; allowed: (C, C), C "
            "of 2 or more."
        ) from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"matrix must be square. Received: shape {matrix.shape}; allowed: (C, C) with C of 2 "
            "or more."
        )
    if num_classes is not None and len(matrix) != num_classes:
        raise ValueError(
            f"matrix must have a row for each class. Received: shape {matrix.shape}; allowed: "
            f"({num_classes}, {num_classes})."
        )
    if not matrix.min() >= 0:
        raise ValueError(
            f"matrix must hold probabilities. Received: an entry of {matrix.min()}; "
            "allowed: 0 to 1."
        )
    sums = matrix.sum(axis=1)
    # Not a number and infinity are larger than any sum allowed.
    row = int(np.abs(sums - 1).argmax())
    if not abs(sums[row] - 1) <= 1e-6:
        raise ValueError(
            f"matrix must have rows that sum to one. Received: a sum of {sums[row]} in row {row}."
        )
    return matrix
