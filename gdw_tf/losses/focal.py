"""Focal loss: what is learned already counts less, so that the hard examples come through.

    loss = -(1 - p_y)^gamma log p_y,   in terms of c = -log p_y:   h(c) = (1 - exp(-c))^gamma c

with the slope h'(c) = (1 - p_y)^gamma + gamma (1 - p_y)^(gamma - 1) p_y c. With gamma = 0 it is the
cross-entropy. It is meant for imbalanced classes with right labels: a wrong label is hard to learn
as well, and is pushed for like a rare class. Under GDW and MW-Net the learned weights have to undo
that.

Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3.2, equation 4,
with gamma = 2. The paper has one sigmoid a class; this is the usual form for softmax. Its factor
alpha_t for each class (section 3.3) is left out: `ClassBalanced` has one.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_number
from gdw_tf.losses.softmax_loss import SoftmaxLoss

# Below it 1 - p_y is taken as constant: at 0 a root has no derivative.
_SMALLEST_CROSS_ENTROPY = 1e-7


@keras.saving.register_keras_serializable("gdw_tf")
class Focal(SoftmaxLoss):
    """Focal loss, for imbalanced classes.

    Args:
        gamma: how fast an example loses its weight as it is learned, at least 0; default 2, the
            paper's.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: `gamma` is not a number.
        ValueError: `gamma` is negative.
    """

    def __init__(self, gamma: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number("gamma", gamma, 0.0)
        self.gamma = gamma

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c) = (1 - exp(-c))^gamma c."""
        unlikelihood = -tf.math.expm1(-tf.maximum(cross_entropy, _SMALLEST_CROSS_ENTROPY))
        return unlikelihood**self.gamma * cross_entropy

    def get_config(self) -> dict[str, Any]:
        """Configuration with `gamma`."""
        return {**super().get_config(), "gamma": self.gamma}
