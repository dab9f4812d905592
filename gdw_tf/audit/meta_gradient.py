"""The meta gradient of every example at the model as it stands: what the clean set says of it now.

With D1 the gradient of an example's cross-entropy on its logits, J its Jacobian and v the gradient
of the mean loss on the meta set, both at the model's weights and in inference mode,

    g = -D1 * (J v)                (C,)

is how the meta loss would change with the class-level weight of a step of rate 1 on this example
alone. Its sum over the classes, negative where the example's gradient points where the meta set's
does, says whether the example is of use as it is labelled. Source: equation 5 of Chen et al.
(NeurIPS 2021) without the virtual step, which a model at rest does not take.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import fit_data, fit_streams
from gdw_tf.class_gradients import class_gradients
from gdw_tf.labels import one_hot_labels
from gdw_tf.lookahead import dense, in_full_precision


def meta_gradients(model: keras.Model, training: Any, meta_data: Any) -> np.ndarray:
    """Computes the class-level meta gradient of every example.

    Args:
        model: a model that answers logits.
        training: the training data, `(x, y)` or batches of one pass.
        meta_data: the meta set, in the same form.

    Returns:
        g, float, (N, C), in the order of the data.

    Raises:
        TypeError: as `gdw_tf.fit_data.read`.
        ValueError: as `gdw_tf.fit_data.read`; a data set without an end.
    """
    meta, batches = (
        fit_streams.one_pass(fit_data.read_pair(data, name=name), None, name=name)
        for data, name in ((meta_data, "meta_data"), (training, "the training data"))
    )
    direction = _meta_loss_gradient(model, meta)
    of_batch = tf.function(_class_level, reduce_retracing=True)
    return np.concatenate(
        [of_batch(model, inputs, labels, direction).numpy() for inputs, labels, *_ in batches]
    )


def _meta_loss_gradient(model: keras.Model, meta: tf.data.Dataset) -> list[tf.Tensor]:
    """The gradient of the mean cross-entropy on the meta set."""
    sums, count = None, 0
    for inputs, labels, *_ in meta:
        with tf.GradientTape() as tape:
            logits = in_full_precision(model(inputs, training=False))
            one_hot = one_hot_labels(labels, logits.shape[-1], logits.dtype)
            loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(one_hot, logits))
        gradients = dense(tape.gradient(loss, _values(model), unconnected_gradients="zero"))
        sums = gradients if sums is None else list(map(tf.add, sums, gradients))
        count += len(labels)
    return [total / count for total in sums]


def _class_level(
    model: keras.Model, inputs: Any, labels: tf.Tensor, direction: list[tf.Tensor]
) -> tf.Tensor:
    """-D1 * (J v) of a batch; J v is the derivative of <J^T u, v> by u, at any u."""
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            raw_logits = model(inputs, training=False)
        logits = in_full_precision(raw_logits)
        on_logits = tf.zeros_like(raw_logits)
        outer.watch(on_logits)
        pulled_back = dense(
            inner.gradient(raw_logits, _values(model), on_logits, unconnected_gradients="zero")
        )
        product = tf.add_n(
            [
                tf.reduce_sum(tf.cast(one, logits.dtype) * tf.cast(other, logits.dtype))
                for one, other in zip(pulled_back, direction, strict=True)
            ]
        )
    along = tf.cast(outer.gradient(product, on_logits), logits.dtype)
    one_hot = one_hot_labels(labels, logits.shape[-1], logits.dtype)
    return -class_gradients(logits, one_hot).gradient * along


def _values(model: keras.Model) -> list[tf.Variable]:
    classifier = getattr(model, "classifier", model)
    return [variable.value for variable in classifier.trainable_variables]
