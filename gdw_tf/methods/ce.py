"""Plain training: the cross-entropy of every example counts the same.

    u = softmax(z) - onehot(y)

The yardstick of every other method, in the same frame: same data, same optimizer, same logs.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.callbacks import MetaEvaluation
from gdw_tf.lookahead import ForwardPass
from gdw_tf.methods.base import Method


@keras.saving.register_keras_serializable("gdw_tf")
class CE(Method):
    """Plain cross-entropy training of a classifier; see `Method` for the arguments.

    The meta set plays no part in training. Where `fit` is given one, it is evaluated after every
    epoch and logged as `meta_loss` and `meta_accuracy`, so that the epoch to keep can be
    chosen on it.
    """

    def training_gradient(
        self, forward: ForwardPass, batch: tuple[Any, ...], meta_batch: tuple[Any, ...]
    ) -> dict[str, tf.Tensor]:
        """The gradient of the cross-entropy."""
        return {"logit_gradient": tf.nn.softmax(forward.logits) - batch[1]}

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        meta_data: Any = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains as `Method.fit` does; `meta_data` is only evaluated, one pass after every epoch.

        Raises:
            ValueError: as `Method.fit`; `meta_data` without an end.
        """
        if meta_data is not None:
            callbacks = [MetaEvaluation(meta_data), *keras.tree.flatten(callbacks or [])]
        return super().fit(x, y, callbacks=callbacks, **kwargs)
