"""The kinds of label noise by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer, check_rate
from gdw_tf.data.noise.matrices import (
    check_matrix,
    flip2_targets,
    flip_matrix,
    flip_targets,
    pair_matrix,
    uniform_matrix,
)
from gdw_tf.data.noise.mistakes import asymmetric_matrix

KINDS = ("none", "uniform", "flip", "flip2", "asymmetric", "pair", "matrix", "instance")
"""All kinds of noise."""

KINDS_WITHOUT_RATE = ("none", "matrix")
"""Those that no noise rate belongs to."""


def transition_matrix(
    kind: str,
    num_classes: int,
    rate: float,
    *,
    class_names: Sequence[str] | None = None,
    matrix: ArrayLike | None = None,
) -> np.ndarray:
    """Makes the transition matrix of a kind of noise.

    Args:
        kind: One of `KINDS` but "instance", which has no matrix before it is drawn.
        num_classes: Number of classes C, at least 2.
        rate: Noise rate r, 0 to 1; 0 if the kind is "none" or "matrix".
        class_names: The names of the classes; needed by "asymmetric" only.
        matrix: The matrix of the kind "matrix", shape (C, C); for no other kind.

    Returns:
        float64, shape (C, C), rows summing to one; the identity if the kind is "none".

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If the kind is unknown, an argument is out of range, the kind does not go with
            the classes, or a rate or a matrix is given to a kind that has none.
    """
    check_integer("num_classes", num_classes, 2)
    check_noise(kind, rate, matrix is not None)
    if kind == "none":
        return np.eye(num_classes)
    if kind == "uniform":
        return uniform_matrix(num_classes, rate)
    if kind == "flip":
        return flip_matrix(num_classes, rate, flip_targets(num_classes))
    if kind == "flip2":
        return flip_matrix(num_classes, rate, flip2_targets(num_classes))
    if kind == "pair":
        return pair_matrix(num_classes, rate)
    if kind == "asymmetric":
        return asymmetric_matrix(class_names or (), rate)
    if kind == "matrix":
        return check_matrix(matrix, num_classes)
    raise ValueError(
        "Instance noise has no transition matrix before it is drawn. Received: kind='instance'; "
        f"allowed: {', '.join(KINDS[:-1])}."
    )


def check_noise(kind: str, rate: float, has_matrix: bool) -> None:
    """Checks that kind, rate and matrix go together.

    Args:
        kind: One of `KINDS`.
        rate: Noise rate, 0 to 1; 0 for a kind without one.
        has_matrix: Whether a matrix is given: with the kind "matrix", and with no other.

    Raises:
        ValueError: If they do not.
    """
    if kind not in KINDS:
        raise ValueError(
            f"Unknown kind of noise. Received: kind={kind!r}; allowed: {', '.join(KINDS)}."
        )
    check_rate("rate", rate)
    if kind in KINDS_WITHOUT_RATE and rate != 0:
        kinds_with_rate = [other for other in KINDS if other not in KINDS_WITHOUT_RATE]
        raise ValueError(
            f"This kind of noise has no rate. Received: kind={kind!r}, rate={rate}; allowed: "
            f"rate 0, or one of the kinds {', '.join(kinds_with_rate)}."
        )
    if has_matrix != (kind == "matrix"):
        raise ValueError(
            f"A matrix belongs to the kind 'matrix'. Received: kind={kind!r} with"
            f"{'' if has_matrix else 'out'} a matrix; allowed: both or neither."
        )
