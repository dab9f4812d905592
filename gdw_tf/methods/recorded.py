"""A record of the training: what the steps made of every training example, summed up on the way.

Whether a label is wrong shows in the course of a training better than at its end, when the network
may know it by heart. A step computes all that tells, so it costs next to nothing to keep: for each
example i, by the index that the batches carry, over all steps that had it,

    visits            1
    probabilities     softmax(z_i), in training mode, before the step             (C,)
    class weights     phi'_i, the weights or labels that a meta method gave it    (C,)

The record is a variable of the model (N, 1 + C) or (N, 1 + 2 C), saved and restored with it.
`gdw_tf.audit` and `gdw_tf.report` read it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.batch import Batch
from gdw_tf.methods.state import StatefulModel


class TrainingRecord(NamedTuple):
    """What the steps of a training made of its examples, in the mean over an example's visits.

    Attributes:
        visits: how many steps had the example, float, (N,).
        probabilities: of the classes, in training mode, float, (N, C); NaN without visits.
        class_weights: what a meta method gave each class of the example, float, (N, C): class-level
            weights, an example's weight C times, or a soft label; NaN without visits. `None` of a
            method without a meta step.
    """

    visits: np.ndarray
    probabilities: np.ndarray
    class_weights: np.ndarray | None


class RecordedModel(StatefulModel):
    """Base class of models that can keep a record of their training.

    Attributes:
        record_examples: whether training steps are recorded; see `compile`.
        example_record: the sums, a variable (N, 1 + C) or (N, 1 + 2 C); `None` before the first
            `fit` that records.
    """

    late_variables = (*StatefulModel.late_variables, "example_record")
    record_examples = False
    has_class_weights = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.example_record: keras.Variable | None = None

    @property
    def training_record(self) -> TrainingRecord | None:
        """What has been recorded so far, as NumPy arrays; `None` where nothing was."""
        if self.example_record is None:
            return None
        sums = np.asarray(keras.ops.convert_to_numpy(self.example_record))
        visits = sums[:, 0]
        with np.errstate(invalid="ignore"):
            means = sums[:, 1:] / visits[:, np.newaxis]
        if not self.has_class_weights:
            return TrainingRecord(visits, means, None)
        return TrainingRecord(visits, *np.split(means, 2, axis=1))

    def make_record(self, num_examples: int, num_classes: int) -> None:
        """Makes the record, where there is none yet.

        Raises:
            ValueError: there is one of other examples or classes.
        """
        parts = 2 if self.has_class_weights else 1
        record = self.make_late_variable("example_record", (num_examples, 1 + parts * num_classes))
        if tuple(record.shape) != (num_examples, 1 + parts * num_classes):
            raise ValueError(
                f"The model has a record of {record.shape[0]} training examples and "
                f"{(record.shape[1] - 1) // parts} classes and can go on with these only. "
                f"Received: {num_examples} examples, {num_classes} classes"
            )

    def weights_of(self, outer: tf.Tensor) -> tf.Tensor:
        """The weights of a step's examples, (B, C) or (B, 1), which stand there by default."""
        return outer

    def record_step(self, batch: Batch, step: dict[str, tf.Tensor], is_finite: tf.Tensor) -> None:
        """Adds a step to the record, unless it is not finite.

        Args:
            batch: its examples, with their index.
            step: what `Method.training_step` returned.
            is_finite: whether the step counts, a scalar.
        """
        dtype = self.example_record.dtype
        probabilities = tf.nn.softmax(tf.cast(step["logits"], dtype))
        parts = [tf.ones_like(probabilities[:, :1]), probabilities]
        if self.has_class_weights:
            weights = tf.cast(self.weights_of(step["updated_outer"]), dtype)
            parts.append(tf.broadcast_to(weights, tf.shape(probabilities)))
        values = tf.where(is_finite, tf.concat(parts, axis=1), 0.0)
        added = tf.IndexedSlices(replicas.joined(values), replicas.joined(batch.index))
        self.example_record.value.scatter_add(added)
