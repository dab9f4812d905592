"""`OuterStep`: a step of chosen size against the meta gradient, for what is no network's output.

    phi' = phi - clip(eta g / sum|g|, +-clip)

The meta gradient g holds the factor alpha / B of the virtual step: its size says little of how far
to go, and falls with the learning rate. Normalised over the batch and clipped, as GDW does it, the
step is as large at the end of training as at its start.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.checks import check_number
from gdw_tf.class_gradients import class_level_update


class OuterStep:
    """Base class, before a `MetaMethod`, of the methods that take such a step.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        outer_lr: eta, the size of the step; default `"auto"`, 0.1 times the entries of phi, so that
            their mean change is 0.1 before clipping. For GDW that is 0.1 * B * C, which is the
            paper's 100 on CIFAR-10 and 1000 on CIFAR-100 at B = 100.
        clip: largest change of one entry in a step; default 0.2.
        **kwargs: the options of the `MetaMethod`.

    Raises:
        TypeError: an option is of another type.
        ValueError: an option out of its range.
    """

    option_names = ("outer_lr", "clip")

    def __init__(
        self,
        classifier: keras.Model,
        *,
        outer_lr: float | str = "auto",
        clip: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        if outer_lr != "auto":
            check_number("outer_lr", outer_lr, 0.0)
        check_number("clip", clip, 0.0)
        self.outer_lr = outer_lr
        self.clip = clip

    def class_level_update(self, meta_gradient: tf.Tensor) -> tf.Tensor:
        """What the step takes off phi, of the shape of the meta gradient."""
        if self.outer_lr == "auto":
            entries = replicas.total(tf.cast(tf.size(meta_gradient), meta_gradient.dtype))
            outer_lr = 0.1 * entries
        else:
            outer_lr = tf.constant(self.outer_lr, meta_gradient.dtype)
        return class_level_update(meta_gradient, outer_lr, self.clip)
