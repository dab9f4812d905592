"""`ClassCountLoss`: what the losses for imbalanced classes share, the class counts.

n_c is how many training examples have the label c, be it right or wrong. Their formulas take
logarithms and reciprocals of n_c, which a class without examples would make infinite. Such a class
counts as many examples as the rarest class that has some. No training example has its label, so
no weight or margin of it is ever used; it does take part where the weights are normalised over all
classes, and in the softmax, with the shift of that rarest class.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gdw_tf.losses.softmax_loss import SoftmaxLoss


class ClassCountLoss(SoftmaxLoss):
    """Base class of the losses that know how many training examples each class has.

    Attributes:
        counts: `class_counts` as an array, float64, (C,), every class counting at least as much
            as the rarest that has examples.

    Args:
        class_counts: n_c, training examples of each class, by the label given; C numbers of at
            least 0, such as `numpy.bincount(labels, minlength=C)`.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: `class_counts` are not numbers.
        ValueError: fewer than two of them, a negative one, or all zero; when called, logits of
            another number of classes.
    """

    def __init__(self, class_counts: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.class_counts = _checked(class_counts)
        counts = np.array(self.class_counts, np.float64)
        self.counts = np.maximum(counts, counts[counts > 0].min())

    def by_class(self, values: np.ndarray, labels: tf.Tensor) -> tf.Tensor:
        """Makes a constant of one number a class, (C,), that fits labels (B, C) and their dtype."""
        if labels.shape[-1] != len(values):
            raise ValueError(
                "class_counts must be one number a class. Received: "
                f"{len(values)} class_counts; allowed: {labels.shape[-1]}, the number of logits."
            )
        return tf.constant(values, labels.dtype)

    def get_config(self) -> dict[str, Any]:
        """Configuration with `class_counts`."""
        return {**super().get_config(), "class_counts": self.class_counts}


def _checked(class_counts: Sequence[float]) -> list[float]:
    """The counts as a list of Python numbers."""
    counts = np.asarray(class_counts).tolist()
    if not isinstance(counts, list) or not all(isinstance(n, numbers.Real) for n in counts):
        raise TypeError(
            f"class_counts must be numbers. Received: class_counts={class_counts!r}; "
            "allowed: one number a class."
        )
    in_range = all(math.isfinite(n) and n >= 0 for n in counts)
    if len(counts) < 2 or not in_range or not any(counts):
        raise ValueError(
            f"class_counts are out of range. Received: class_counts={counts}; "
            "allowed: two numbers or more, at least 0 and not all 0."
        )
    return counts
