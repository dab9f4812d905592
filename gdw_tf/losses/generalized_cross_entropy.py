"""Generalized cross-entropy: between the cross-entropy, which learns, and 1 - p_y, which forgives.

    loss = (1 - p_y^q) / q,   in terms of c = -log p_y:   h(c) = (1 - exp(-q c)) / q

For q -> 0 it is the cross-entropy c, for q = 1 it is 1 - p_y, half the mean absolute error of the
probabilities, which is robust to noisy labels and slow to learn. The slope

    h'(c) = p_y^q

says how: an example counts the less, the less the classifier believes its label. The loss is
bounded by 1/q, whatever the label.

Under GDW and MW-Net this slope is there beside the learned weights, which only see what it leaves.

Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with
Noisy Labels", NeurIPS 2018, section 3.2; q = 0.7 in all of its experiments. (The truncated loss of
section 3.3, which prunes the training set by turns, is not this one.)
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_number
from gdw_tf.losses.softmax_loss import SoftmaxLoss


@keras.saving.register_keras_serializable("gdw_tf")
class GeneralizedCrossEntropy(SoftmaxLoss):
    """Generalized cross-entropy, for noisy labels.

    Args:
        q: from the cross-entropy (towards 0) to 1 - p_y (1), above 0; default 0.7, the paper's.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: `q` is not a number.
        ValueError: `q` is not above 0, or above 1.
    """

    def __init__(self, q: float = 0.7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number("q", q, 0.0, exclusive=True, maximum=1.0)
        self.q = q

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c) = (1 - exp(-q c)) / q."""
        return -tf.math.expm1(-self.q * cross_entropy) / self.q

    def get_config(self) -> dict[str, Any]:
        """Configuration with `q`."""
        return {**super().get_config(), "q": self.q}
