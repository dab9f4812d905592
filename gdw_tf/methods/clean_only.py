"""Training on the clean set alone: what the few clean examples are worth without the noisy ones.

Every step is the step of plain training (`gdw_tf.methods.ce`), taken on the pair's meta batch; the
training batch is not looked at. The training data only say how many steps an epoch has, so the
network takes as many steps, with the same schedule and the same meta batches, as with any other
method. At equal batch sizes each of M clean examples is seen N / M times as often as one of N noisy
examples is elsewhere.

The yardstick from the other side: a method that learns from both sets should beat it; where none
does, the clean set alone is enough. Hendrycks et al. (NeurIPS 2018, see `gdw_tf.methods.glc`)
compare with it.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.batch import training_batch
from gdw_tf.labels import in_form_of
from gdw_tf.methods.ce import CE


@keras.saving.register_keras_serializable("gdw_tf")
class CleanOnly(CE):
    """Plain training of a classifier on the meta set; logs and metrics are of the meta batches.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        **kwargs: the options of `CE`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax.
    """

    needs_meta_set = True
    steps_on_meta_batches = True

    def train_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """Takes one training step on the meta batch."""
        return super().train_step(on_meta_batch(data))


def on_meta_batch(data: tuple[Any, Any]) -> tuple[Any, tuple[()]]:
    """Puts the meta batch of a pair in the training batch's place, its labels in the same form."""
    given = training_batch(data).labels
    inputs, labels, *rest = data[1]
    return (inputs, in_form_of(labels, given), *rest), ()
