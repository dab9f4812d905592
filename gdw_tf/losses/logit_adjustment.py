"""Logit adjustment: a margin between classes that grows with the ratio of their shares.

    loss = c,   shift_j = tau log pi_j,   h(c) = c

with pi_j = n_j / n the share of class j in the training set. Written out as

    loss = log(1 + sum_{j != y} (pi_j / pi_y)^tau exp(z_j - z_y))

it shows that a rare class is separated from a frequent one by more than the other way round. With
tau = 1 the logits without the shift are right for balanced classes, as those of `BalancedSoftmax`,
which is the same loss.

Under GDW and MW-Net the meta loss knows no shift, as the classifier in use: it fits a meta set of
balanced classes.

Source: Menon et al., "Long-tail Learning via Logit Adjustment", ICLR 2021, section 5, equation 10;
tau = 1 throughout its main results.
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
class LogitAdjustment(ClassCountLoss):
    """Logit-adjusted cross-entropy, for imbalanced classes.

    Args:
        class_counts: n_c, training examples of each class; see `ClassCountLoss`.
        tau: strength of the shift, at least 0; default 1, the paper's.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: an argument is of another type.
        ValueError: an argument is out of its range.
    """

    def __init__(self, class_counts: Sequence[float], tau: float = 1.0, **kwargs: Any) -> None:
        super().__init__(class_counts, **kwargs)
        check_number("tau", tau, 0.0)
        self.tau = tau

    def adjusted_logits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """z_j + tau log pi_j."""
        shares = self.counts / self.counts.sum()
        return logits + self.by_class(self.tau * np.log(shares), labels)

    def get_config(self) -> dict[str, Any]:
        """Configuration with `class_counts` and `tau`."""
        return {**super().get_config(), "tau": self.tau}
