"""What the methods that weight class-level gradients share: u(phi) = phi * D1.

D1 is the gradient on the logits of the base loss, for which the cross-entropy and the losses of
`gdw_tf.losses` will do. `WeightNetMethod` adds the weight net V of `gdw_tf.weight_net`, from an
example's loss to its weight, from which MW-Net and GDW make phi.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.class_gradients import ClassGradients
from gdw_tf.losses.softmax_loss import SoftmaxLoss, check_base_loss
from gdw_tf.methods.meta import MetaMethod
from gdw_tf.weight_net import build_weight_net


class WeightingMethod(MetaMethod):
    """Base class of the methods that weight class-level gradients.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        base_loss: a loss of `gdw_tf.losses`; default `None`, the cross-entropy.
        **kwargs: the options of `MetaMethod`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*MetaMethod.option_names, "base_loss")

    def __init__(
        self, classifier: keras.Model, *, base_loss: SoftmaxLoss | None = None, **kwargs: Any
    ) -> None:
        super().__init__(classifier, **kwargs)
        self.base_loss = check_base_loss(base_loss)

    def logit_gradient(self, gradients: ClassGradients, outer: tf.Tensor) -> tf.Tensor:
        """The weighted gradient phi * D1, (B, C), with phi (B, C) or (B, 1)."""
        return outer * gradients.gradient


class WeightNetMethod(WeightingMethod):
    """Base class of the methods whose weights start from a weight net.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        hidden_units: width of the weight net; default 100, the paper's.
        **kwargs: the options of `WeightingMethod`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*WeightingMethod.option_names, "hidden_units")
    reported = (*WeightingMethod.reported, "first_stage_weight", "target_weight")

    def __init__(self, classifier: keras.Model, *, hidden_units: int = 100, **kwargs: Any) -> None:
        super().__init__(classifier, **kwargs)
        self.hidden_units = hidden_units
        self.weight_net = build_weight_net(hidden_units)

    @property
    def outer_variables(self) -> list[keras.Variable]:
        """The weight net's variables."""
        return self.weight_net.trainable_variables

    def example_weights(self, gradients: ClassGradients) -> tf.Tensor:
        """The weight net's weights of the examples by their losses, (B, 1), of the losses' dtype.

        The net computes in Keras's float dtype, the classifier may in a larger one.
        """
        return tf.cast(self.weight_net(gradients.loss), gradients.loss.dtype)

    def step_report(
        self, gradients: ClassGradients, outer: tf.Tensor, updated: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The first-stage weights, and the second-stage weights on the given labels, (B,)."""
        return {
            "first_stage_weight": outer,
            "target_weight": tf.reduce_sum(updated * gradients.labels, axis=1),
        }
