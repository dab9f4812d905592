"""Symmetric cross-entropy: the cross-entropy, and the same with label and prediction changed over.

    loss = alpha CE + beta RCE,   CE = -sum_j y_j log p_j,   RCE = -sum_j p_j log y_j

The reverse cross-entropy RCE is robust to noisy labels, the cross-entropy makes the training
converge. Of a one-hot label log y_j is 0 or log 0, which the paper replaces by a number A < 0:
RCE = -A (1 - p_y), so that with c = -log p_y

    h(c) = alpha c - beta A (1 - exp(-c)),   h'(c) = alpha - beta A p_y.

(Of a mixture of labels, exp(-c) stands for p_y.) Under GDW and MW-Net the slope is at least alpha:
no example is given up altogether.

Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", ICCV 2019,
section 3. Its alpha and beta are 0.1 and 1 on CIFAR-10, 6 and 0.1 on CIFAR-100. Its text has
A = -4, as here; programs that clip y at 1e-4 instead, which is common, have A = log 1e-4 = -9.2.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.checks import check_number
from gdw_tf.losses.softmax_loss import SoftmaxLoss


@keras.saving.register_keras_serializable("gdw_tf")
class SymmetricCrossEntropy(SoftmaxLoss):
    """Symmetric cross-entropy, for noisy labels.

    Args:
        alpha: factor of the cross-entropy, at least 0; default 0.1, the paper's on CIFAR-10.
        beta: factor of the reverse cross-entropy, at least 0; default 1, the paper's there.
        log_zero: A, what log 0 is taken to be, below 0; default -4, the paper's.
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.

    Raises:
        TypeError: an argument is not a number.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_number("alpha", alpha, 0.0)
        check_number("beta", beta, 0.0)
        check_number("log_zero", log_zero, below=0.0)
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c) = alpha c - beta A (1 - exp(-c))."""
        reverse = self.log_zero * tf.math.expm1(-cross_entropy)
        return self.alpha * cross_entropy + self.beta * reverse

    def get_config(self) -> dict[str, Any]:
        """Configuration with `alpha`, `beta` and `log_zero`."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "log_zero": self.log_zero,
        }
