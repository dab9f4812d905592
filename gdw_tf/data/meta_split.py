"""Splitting off the meta set.

Meta-learned weighting needs a small, clean, class-balanced set besides the noisy training set (in
the usual experiments 1,000 images of CIFAR). It is drawn from the training images and taken out
of them, so no image is both weighted and used to judge the weights. Those who have no clean labels
split off one with the labels given, or choose it of the training images (`gdw_tf.pseudo_clean`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_labels
from gdw_tf.data.class_draws import balanced_counts, draw_per_class

KINDS = ("clean", "noisy", "pseudo")
"""Kinds of meta set: with true labels; with the labels given; pseudo-clean, chosen in training."""


def split_meta(
    labels: ArrayLike, num_classes: int, num_meta: int, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Splits a training set into a rest for training and a class-balanced meta set.

    Args:
        labels: Class indices, any integer dtype, shape (N,): the true ones for a clean meta set.
        num_classes: Number of classes C, at least 2.
        num_meta: Size of the meta set M, at least 1. If C does not divide it, classes drawn at
            random get one image more than the others.
        random_state: The generator, see `gdw_tf.data.random`.

    Returns:
        `(train_indices, meta_indices)`, int64, of N - M and M images, each ascending; together
        they are all images.

    Raises:
        TypeError: If the labels, `num_classes` or `num_meta` are not integers.
        ValueError: If `num_meta` is less than 1, or a class would have no training image left.
    """
    meta_indices = _draw_balanced(labels, num_classes, "num_meta", num_meta, 1, random_state)
    train_indices = np.setdiff1d(np.arange(len(labels), dtype=np.int64), meta_indices)
    return train_indices, meta_indices


def choose_meta(
    labels: ArrayLike, num_classes: int, num_meta: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Draws a class-balanced meta set from a clean set that is none of the training images.

    Args:
        labels: True class indices of the clean set, any integer dtype, shape (N,).
        num_classes: Number of classes C, at least 2.
        num_meta: Size of the meta set M, at least 1. If C does not divide it, classes drawn at
            random get one image more than the others.
        random_state: The generator, see `gdw_tf.data.random`.

    Returns:
        Indices of the images drawn, int64, shape (M,), ascending.

    Raises:
        TypeError: If the labels, `num_classes` or `num_meta` are not integers.
        ValueError: If `num_meta` is less than 1, or a class has too few images.
    """
    return _draw_balanced(labels, num_classes, "num_meta", num_meta, 0, random_state)


def balanced_subset(
    labels: ArrayLike, num_classes: int, size: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Draws a class-balanced subset.

    Args:
        labels: True class indices, any integer dtype, shape (N,).
        num_classes: Number of classes C, at least 2.
        size: Number of images to draw, at least 1. If C does not divide it, classes drawn at
            random get one image more than the others.
        random_state: The generator, see `gdw_tf.data.random`.

    Returns:
        Indices of the images drawn, int64, shape (size,), ascending.

    Raises:
        TypeError: If the labels, `num_classes` or `size` are not integers.
        ValueError: If `size` is less than 1, or a class has too few images.
    """
    return _draw_balanced(labels, num_classes, "size", size, 0, random_state)


def _draw_balanced(
    labels: ArrayLike,
    num_classes: int,
    name: str,
    size: int,
    spared: int,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Draws `size` examples, class-balanced, sparing at least `spared` of each class."""
    labels = check_labels("labels", labels, num_classes)
    check_integer(name, size, 1)
    available = np.bincount(labels, minlength=num_classes) - spared
    counts = balanced_counts(size, num_classes, random_state)
    short = np.flatnonzero(counts > available)
    if short.size:
        raise ValueError(
            f"{name} is larger than a class allows. Received: {name}={size}, which takes "
            f"{counts[short[0]]} images of class {short[0]}; allowed: "
            f"{max(available[short[0]], 0)} of its {available[short[0]] + spared}."
        )
    return draw_per_class(labels, counts, random_state)
