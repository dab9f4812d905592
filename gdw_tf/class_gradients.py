"""Class-level gradients of softmax losses and the two-stage class-level weights of GDW.

For logits z of shape (B, C) the gradient of one example's cross-entropy on its own logits is

    D1 = p - onehot(y)        with p = softmax(z),

one number for each class: how strongly the example pulls its target up and every other class
down. GDW weights these numbers one by one. A weight matrix omega (B, C) keeps the structure of a
cross-entropy gradient, whose entries sum to zero over the classes, only if

    omega_y = sum_{j != y} omega_j p_j / (1 - p_y),

the zero-mean constraint. The second stage moves omega against the meta gradient g = dL/d omega:

    omega' = constraint(clip(omega - clip(eta g / sum|g|, +-0.2), 1e-6, 1e6)).

Another base loss (`gdw_tf.losses`) has the same structure: D1 is slope * (p - onehot(y)), with
the probabilities p of the logits that it adjusts, and the constraint, in which the slope cancels,
holds with these p.

Source: Chen et al., "Generalized DataWeighting via Class-Level Gradient Manipulation", NeurIPS
2021, section 3 (arXiv 2111.00056). All functions here are pure functions of tensors.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.losses.softmax_loss import CrossEntropy, SoftmaxLoss

# The constraint divides by 1 - p_y, so no probability may reach 1.
LARGEST_PROBABILITY = 0.999
SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-6, 1e6


class ClassGradients(NamedTuple):
    """What one forward pass says about a batch, class by class; every field is a constant.

    Attributes:
        labels: one-hot labels, (B, C).
        probabilities: softmax of the logits, as the loss adjusts them, at most 0.999 each and not
            renormalised, (B, C).
        gradient: D1, the gradient of each example's loss on its logits, (B, C).
        loss: per-example loss, for the cross-entropy in nats, (B, 1).
    """

    labels: tf.Tensor
    probabilities: tf.Tensor
    gradient: tf.Tensor
    loss: tf.Tensor


def class_gradients(
    logits: tf.Tensor, labels: tf.Tensor, loss: SoftmaxLoss | None = None
) -> ClassGradients:
    """Computes the class-level gradients of the losses of a batch.

    Args:
        logits: (B, C), float32 or float64.
        labels: one-hot labels of the same shape and dtype, or mixtures of a few of them.
        loss: default the cross-entropy.
    """
    parts = (loss or CrossEntropy()).parts(logits, labels)
    probabilities = tf.minimum(parts.probabilities, LARGEST_PROBABILITY)
    return ClassGradients(
        labels=labels,
        probabilities=probabilities,
        gradient=parts.slope * (probabilities - labels),
        loss=parts.value,
    )


def zero_mean_weights(weights: tf.Tensor, probabilities: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sets each example's weight on its target so that the weighted gradient sums to zero.

    Args:
        weights: class-level weights omega, (B, C).
        probabilities: class probabilities below 1, (B, C).
        labels: one-hot labels, (B, C). A mixture of labels (mixup) has several targets, which get
            one weight; where all classes are targets, that is their mean, which any constraint
            leaves free.

    Returns:
        The weights with omega_y = sum_{j != y} omega_j p_j / (1 - p_y), (B, C). The paper's
        zero-mean constraint (section 3.3; its Figure 7 shows training without it). For a mixture
        the sum is over the classes that are no targets, and p_y the sum over those that are.
    """
    targets = tf.cast(labels > 0.0, labels.dtype)
    others = 1.0 - targets
    pull_of_others = tf.reduce_sum(weights * probabilities * others, axis=1, keepdims=True)
    target_probability = tf.reduce_sum(probabilities * targets, axis=1, keepdims=True)
    # Of several targets, only the sum can still be larger.
    target_probability = tf.minimum(target_probability, LARGEST_PROBABILITY)
    constrained = weights * others + targets * pull_of_others / (1.0 - target_probability)
    has_others = tf.reduce_any(labels <= 0.0, axis=1, keepdims=True)
    return tf.where(has_others, constrained, tf.reduce_mean(weights, axis=1, keepdims=True))


def class_level_update(meta_gradient: tf.Tensor, outer_lr: tf.Tensor, clip: float) -> tf.Tensor:
    """Turns a meta gradient into the step that the class-level weights take against it.

    Args:
        meta_gradient: g = dL/d omega, (B, C); (B, 1) where an example has one weight.
        outer_lr: eta, a scalar; divided by the number of entries, their mean size before clipping.
        clip: largest size of an entry.

    Returns:
        clip(eta g / sum|g|, +-clip), of the same shape, the sum over the whole batch, on all
        replicas; zero where g is zero everywhere.
    """
    size = replicas.total(tf.reduce_sum(tf.abs(meta_gradient)))
    normalised = tf.math.divide_no_nan(meta_gradient, size)
    return tf.clip_by_value(outer_lr * normalised, -clip, clip)


def bounded_weights(weights: tf.Tensor) -> tf.Tensor:
    """Keeps class-level weights positive and finite: clipped to [1e-6, 1e6]."""
    return tf.clip_by_value(weights, SMALLEST_WEIGHT, LARGEST_WEIGHT)
