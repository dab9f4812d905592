"""GDW: a learned weight for each class-level part of each example's gradient.

    phi    = constraint(V(cross-entropy) repeated over the classes)                  (B, C)
    u(phi) = phi * D1
    phi'   = constraint(clip(phi - clip(eta g / sum|g|, +-0.2), 1e-6, 1e6))

with the zero-mean constraint of `gdw_tf.class_gradients`. A wrong label is thereby not only
given less weight: its pull up on the wrong class can be damped or stopped while its push
down on classes that are indeed wrong is kept.

In the paper the class-level step is taken anew in every step, and an example that is seen again
starts from V once more. With a memory beta > 0, which is not the paper's, every training example
keeps the class-level steps of its earlier visits, fading by beta a visit (steps without a meta
gradient, see `meta_every`, leave all memories as they are):

    m    <- beta m + clip(eta g / sum|g|, +-0.2)
    phi'  = constraint(clip(phi - m, 1e-6, 1e6))

What the class-level steps of examples with the same given label have in common says how labels are
mistaken for each other: where true class t is often labelled y, the weight on t of examples
labelled y should be small. With a pair memory gamma > 0, not the paper's either, each pair of given
label y and class c keeps the steps of its examples, and the first stage starts from there, with
what is more than chance:

    d     = s - mean of s over the classes but y
    M[y] <- gamma M[y] + d
    Q[y] <- gamma^2 Q[y] + d^2
    phi   = constraint(clip(V - max(1 - 16 Q[y] / M[y]^2, 0) M[y], 1e-6, 1e6))

with s the mean class-level step of the batch's examples labelled y; M fades by gamma in every
step that learns it. Differences between the classes alone are kept: how much an example counts as a
whole is V's to say. (Of two classes, where there is one other, nothing is kept.) Steps d that have
nothing to do with each other add up to an M of variance Q; an M within four standard deviations of
zero counts as zero, a larger one is shrunk the less, the larger it is (the non-negative garrote).
Four are more than independent steps would ask for: those of one network, which changes little from
step to step, are alike. So where labels are wrong without a pattern, little is read into what the
steps happen to sum to.

Source: Chen et al., "Generalized DataWeighting via Class-Level Gradient Manipulation", NeurIPS
2021, section 3 (arXiv 2111.00056); both memories are this library's. The garrote: Breiman, "Better
Subset Regression Using the Nonnegative Garrote", Technometrics 1995.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.batch import Batch
from gdw_tf.checks import check_boolean, check_number
from gdw_tf.class_gradients import ClassGradients, bounded_weights, zero_mean_weights
from gdw_tf.methods.outer_step import OuterStep
from gdw_tf.methods.weighting import WeightNetMethod

DEVIATIONS = 4.0
"""A sum of steps within this many standard deviations of zero counts as chance."""


@keras.saving.register_keras_serializable("gdw_tf")
class GDW(OuterStep, WeightNetMethod):
    """Generalized data weighting.

    ```python
    model = gdw_tf.GDW(classifier)
    model.compile(optimizer=gdw_tf.CoupledSGD(0.1), metrics=["accuracy"])
    model.fit(train_ds, meta_data=meta_ds, validation_data=test_ds, epochs=80)
    ```

    Args:
        classifier: any Keras model that answers logits, (B, C).
        zero_mean: whether the zero-mean constraint is kept; default `True`. `False` is the
            paper's ablation.
        memory: beta, how much of its class-level steps a training example keeps until its next
            visit, from 0 to below 1; default 0, the paper's.
        pair_memory: gamma, how much of its class-level steps a pair of given label and class keeps
            until the next step, from 0 to below 1; default 0, the paper's. For labels that are
            mistaken for particular others.
        **kwargs: the options of `OuterStep`, eta and its clip, and of `WeightNetMethod`.

    Attributes:
        pair_steps: M, a variable (C, C), a row for each given label, saved with the model; `None`
            before the first `fit` and without a pair memory.
        pair_squares: Q, likewise.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option out of its range.
    """

    option_names = (
        *WeightNetMethod.option_names,
        *OuterStep.option_names,
        "zero_mean",
        "memory",
        "pair_memory",
    )
    late_variables = (*WeightNetMethod.late_variables, "pair_steps", "pair_squares")

    def __init__(
        self,
        classifier: keras.Model,
        *,
        zero_mean: bool = True,
        memory: float = 0.0,
        pair_memory: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        for name, value in (("memory", memory), ("pair_memory", pair_memory)):
            check_number(name, value, 0.0, below=1.0)
        self.zero_mean = check_boolean("zero_mean", zero_mean)
        self.memory = memory
        self.pair_memory = pair_memory
        self.pair_steps: keras.Variable | None = None
        self.pair_squares: keras.Variable | None = None

    def memory_width(self, num_classes: int) -> int:
        """One number a class, if anything is remembered."""
        return num_classes if self.memory else 0

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """First-stage weights: the example's weight for every class, constrained, (B, C)."""
        weights = self.example_weights(gradients)
        num_classes = gradients.labels.shape[-1]
        weights = tf.repeat(weights, num_classes, axis=1)
        if self.pair_memory:
            remembered = beyond_chance(self.pair_steps.value, self.pair_squares.value)
            remembered = tf.cast(remembered, weights.dtype)
            weights = bounded_weights(weights - tf.matmul(gradients.labels, remembered))
        return self._constrained(weights, gradients)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """Second-stage weights: one clipped step against the meta gradient, (B, C)."""
        update = self.class_level_update(meta_gradient)
        if self.pair_memory:
            learned = tf.cast(common_steps(update, gradients.labels), self.pair_steps.dtype)
            self.pair_steps.assign(self.pair_memory * self.pair_steps + learned)
            self.pair_squares.assign(self.pair_memory**2 * self.pair_squares + learned**2)
        if self.memory:
            update += self.memory * self.read_memory(batch, update.dtype)
            self.write_memory(batch, update)
        return self._constrained(bounded_weights(outer - update), gradients)

    def carried_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor
    ) -> tf.Tensor:
        """First-stage weights, less what is remembered of the examples' class-level steps."""
        if not self.memory:
            return outer
        remembered = self.read_memory(batch, outer.dtype)
        return self._constrained(bounded_weights(outer - remembered), gradients)

    def before_training(self, training: Any, meta: Any, num_classes: int, **arguments: Any) -> None:
        """Makes the pair memory, where there is none yet.

        Raises:
            ValueError: a loaded one is of another number of classes.
        """
        super().before_training(training, meta, num_classes, **arguments)
        if not self.pair_memory:
            return
        steps, _ = (
            self.make_late_variable(name, (num_classes, num_classes))
            for name in ("pair_steps", "pair_squares")
        )
        if steps.shape[0] != num_classes:
            raise ValueError(
                f"The model remembers pairs of {steps.shape[0]} classes and can go on with these "
                f"only. Received: {num_classes} classes"
            )

    def _constrained(self, weights: tf.Tensor, gradients: ClassGradients) -> tf.Tensor:
        if not self.zero_mean:
            return weights
        return zero_mean_weights(weights, gradients.probabilities, gradients.labels)


def beyond_chance(sums: tf.Tensor, variances: tf.Tensor) -> tf.Tensor:
    """What of sums of random steps is more than chance: the non-negative garrote.

    Args:
        sums: M, of any shape.
        variances: their variances if the steps are independent and zero in the mean, of that shape.

    Returns:
        max(1 - 16 variance / M^2, 0) M, of that shape; 0 of 0.
    """
    chance = DEVIATIONS**2 * tf.math.divide_no_nan(variances, sums**2)
    return tf.nn.relu(1.0 - chance) * sums


def common_steps(update: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """What the class-level steps of a batch have in common, by given label.

    Args:
        update: the step of each example, (B, C).
        labels: one-hot labels or mixtures of them, (B, C), of the same dtype.

    Returns:
        For each given label the mean step on every other class, less the mean of these over the
        classes, (C, C); zero on the diagonal and in the rows of labels that do not occur.
    """
    num_classes = labels.shape[-1]
    others = 1.0 - tf.eye(num_classes, dtype=update.dtype)
    sums, counts = replicas.total(
        [tf.matmul(labels, update, transpose_a=True), tf.reduce_sum(labels, axis=0)[:, tf.newaxis]]
    )
    means = others * tf.math.divide_no_nan(sums, counts)
    return others * (means - tf.reduce_sum(means, axis=1, keepdims=True) / (num_classes - 1))
