"""Class-balanced loss: the cross-entropy, weighted by the effective number of a class's examples.

The more examples a class has, the less a further one adds, because it is likely to be close to one
that is there. If a new example is new with probability beta^k after k of them, n examples are worth

    E_n = 1 + beta + ... + beta^(n-1) = (1 - beta^n) / (1 - beta)

and a class is weighted by 1 / E_n, normalised so that the weights of all C classes sum to C:

    loss = w_y c,   w_c = C / E_{n_c} / sum_j (1 / E_{n_j}).

beta = 0 weights no class, beta -> 1 weights by 1 / n. The weight is a factor of D1: under GDW and
MW-Net it is there beside the learned ones, and cancels in the zero-mean constraint.

Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, sections
3 and 4, in the form for softmax; beta = 0.9999 is the best on its long-tailed CIFAR-10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.checks import check_number
from gdw_tf.losses.class_counts import ClassCountLoss


@keras.saving.register_keras_serializable("gdw_tf")
class ClassBalanced(ClassCountLoss):
    """Class-balanced cross-entropy, for imbalanced classes.

    Args:
        class_counts: n_c, training examples of each class; see `ClassCountLoss`.
        beta: from no weighting (0) to that by 1 / n (towards 1), below 1; default 0.9999.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of its range.
    """

    def __init__(self, class_counts: Sequence[float], beta: float = 0.9999, **kwargs: Any) -> None:
        super().__init__(class_counts, **kwargs)
        self.beta = beta
        self.weights = effective_number_weights(self.counts, beta)

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c) = w_y c."""
        return example_weights(self.by_class(self.weights, labels), labels) * cross_entropy

    def get_config(self) -> dict[str, Any]:
        """Configuration with `class_counts` and `beta`."""
        return {**super().get_config(), "beta": self.beta}


def effective_number_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """Weighs classes by the reciprocal of their effective number of examples.

    Args:
        counts: n_c, above 0, (C,).
        beta: at least 0 and below 1.

    Returns:
        w_c, float64, (C,), of sum C.

    Raises:
        TypeError: `beta` is not a number.
        ValueError: `beta` is out of its range.
    """
    check_number("beta", beta, 0.0, below=1.0)
    weights = (1.0 - beta) / (1.0 - beta**counts)
    return len(weights) * weights / weights.sum()


def example_weights(weights: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The weight of each example's class, (B, 1), from (C,) and one-hot labels (B, C)."""
    return tf.reduce_sum(weights * labels, axis=1, keepdims=True)
