"""Soft-label: a learned label for each training example, kept from visit to visit.

    phi    = onehot(y) + what is remembered of the example, zero at the start      (B, C)
    u(phi) = p - phi
    phi'   = the label nearest to phi - clip(eta g / sum|g|, +-clip), remembered

A label is a point of the simplex (no entry below zero, sum one), and after its step is put back to
the nearest one, which undoes what the step has in common for all classes.

The size of the step (`gdw_tf.methods.outer_step`) and the way back to a label are this library's
choice, not the paper's.

Source: Vyas et al., "Learning Soft Labels via Meta Learning", 2020 (arXiv 2009.09496).
Projection: Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions",
ICML 2008, figure 1.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.class_gradients import ClassGradients
from gdw_tf.methods.labeling import LabelMethod
from gdw_tf.methods.outer_step import OuterStep


@keras.saving.register_keras_serializable("gdw_tf")
class SoftLabel(OuterStep, LabelMethod):
    """Learned labels; see `OuterStep` and `LabelMethod` for the arguments."""

    option_names = (*LabelMethod.option_names, *OuterStep.option_names)

    def memory_width(self, num_classes: int) -> int:
        """How far the label has moved from the given one, class by class."""
        return num_classes

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """The examples' labels, (B, C)."""
        return gradients.labels + self.read_memory(batch, gradients.labels.dtype)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """The labels after one clipped step against the meta gradient, (B, C)."""
        updated = nearest_labels(outer - self.class_level_update(meta_gradient))
        self.write_memory(batch, updated - gradients.labels)
        return updated


def nearest_labels(points: tf.Tensor) -> tf.Tensor:
    """Projects each row of a matrix (B, C) on the simplex: max(point - t, 0) of sum one.

    The t of a row is found among its C largest entries: with the k largest above it, it is
    (their sum - 1) / k, and the right k is the largest for which the k-th entry is indeed above.
    """
    descending = tf.sort(points, axis=1, direction="DESCENDING")
    counts = tf.range(1, tf.shape(points)[1] + 1, dtype=points.dtype)
    thresholds = (tf.cumsum(descending, axis=1) - 1.0) / counts
    above = tf.reduce_sum(tf.cast(descending > thresholds, tf.int32), axis=1)
    above = tf.maximum(above, 1)  # where nothing is a number, nothing compares
    threshold = tf.gather(thresholds, above - 1, batch_dims=1)
    return tf.nn.relu(points - threshold[:, tf.newaxis])
