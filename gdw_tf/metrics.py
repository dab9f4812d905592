"""Keras metrics of this library."""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf.labels import one_hot_labels


@keras.saving.register_keras_serializable("gdw_tf")
class Accuracy(keras.metrics.CategoricalAccuracy):
    """Share of the examples whose largest logit is that of their label.

    The labels may be class indices, (B,) or (B, 1), or shares of the classes, (B, C), of which the
    largest counts, and that anew in every batch: under mixup, training labels are shares and
    validation labels indices. (The name `"accuracy"` stands in Keras for the metric that fits the
    first batch, and is wrong in the others without a word; `Method.compile` has this one for it.)

    Args:
        name: the metric's name; default `"accuracy"`.
        dtype: dtype of the result; default Keras's.
    """

    def __init__(self, name: str = "accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Counts a batch of labels in any form, logits (B, C), and weights (B,) or `None`."""
        labels = one_hot_labels(y_true, y_pred.shape[-1], y_pred.dtype)
        return super().update_state(labels, y_pred, sample_weight)


def build_metrics(model: keras.Model, labels: tf.Tensor, num_classes: int) -> None:
    """Makes the variables of a model's metrics, which Keras else makes with the first batch.

    Args:
        model: a compiled model; what its metrics have measured is forgotten.
        labels: labels of B examples in the form that the training has, (B,), (B, 1) or (B, C).
        num_classes: C.
    """
    logits = tf.zeros((len(labels), num_classes), keras.config.floatx())
    model.compute_metrics(None, labels, logits)
    model.reset_metrics()
