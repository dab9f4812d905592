"""GLC, gold loss correction: a transition matrix from the clean set, and both sets in training.

A network trained plainly on the noisy labels answers p(given label | x). Its mean answer to the
clean examples of a class, of which the true class is known, is a row of the transition matrix:

    C[i, j] = mean of p_j(x) over the clean examples x of class i.

Then the network is trained anew, with the loss corrected by C (`gdw_tf.methods.loss_correction`) on
examples of the noisy set and the plain cross-entropy on those of the clean set,

    u = (1 - s) (p - r)   on each example of the training batch,
    u = s (p - y)         on each example of the meta batch,

means over either batch. Gold loss correction trains on the union of N noisy and M clean examples,
each seen once an epoch, in batches of mixed origin. Here every step has a whole meta batch, so the
share s = M / (N + M) (`clean_share`) stands for the union: in an epoch every example, noisy or
clean, counts as much as any other. (The clean gradient is the mean of more visits to each example,
hence steadier, not larger.) A class without clean examples is taken to have right labels.

Source: Hendrycks et al., "Using trusted data to train deep networks on labels corrupted by severe
noise", NeurIPS 2018 (arXiv 1802.05300), algorithm 1. As in the authors' program, both stages start
from the same weights, and clean and noisy examples pass through the network apart (with batch
normalisation each with its own statistics); the momentum of the first stage, which that program
carries over, is dropped.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import fit_data
from gdw_tf.batch import Batch, accuracy, mean_cross_entropy
from gdw_tf.checks import check_rate
from gdw_tf.lookahead import ForwardPass
from gdw_tf.methods.base import META_LOGS
from gdw_tf.methods.loss_correction import LossCorrection, corrected_loss


@keras.saving.register_keras_serializable("gdw_tf")
class GLC(LossCorrection):
    """Trains a classifier by gold loss correction; see `LossCorrection` for its two stages.

    Logged beside the loss, which is that of the training batches: `corrected_loss`, and
    `meta_loss` and `meta_accuracy` of the meta batches.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        clean_share: s, the weight of the clean examples in a step, 0 to 1; default `None`, their
            share of all examples. To be given with a meta set without an end, which nobody can
            count.
        **kwargs: the options of `LossCorrection`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*LossCorrection.option_names, "clean_share")
    reported = (*LossCorrection.reported, *META_LOGS)
    needs_meta_set = True

    def __init__(
        self, classifier: keras.Model, *, clean_share: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(classifier, **kwargs)
        if clean_share is not None:
            check_rate("clean_share", clean_share)
        self.clean_share = clean_share
        self._share = self.add_weight(shape=(), initializer="zeros", trainable=False, name="share")

    def before_training(
        self,
        training: fit_data.Data,
        meta: fit_data.Data,
        num_classes: int,
        **arguments: Any,
    ) -> None:
        """Counts the examples and runs the first stage.

        Raises:
            ValueError: `clean_share` is not given and one of the sets cannot be counted.
        """
        share = self.clean_share
        if share is None:
            clean = fit_data.count(meta, name="meta_data")
            noisy = arguments["num_examples"] or fit_data.count(training, name="the training data")
            share = clean / (noisy + clean)
        self._share.assign(share)
        super().before_training(training, meta, num_classes, **arguments)

    def estimated_transitions(self, training: tf.data.Dataset, meta: tf.data.Dataset) -> np.ndarray:
        """The mean answers to the clean examples of each class."""
        return mean_answers(*self.answers(meta))

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch
    ) -> dict[str, Any]:
        """The gradient of the corrected loss, and that of the cross-entropy on the meta batch."""
        clean = ForwardPass(self.classifier, meta_batch.inputs)
        share = tf.cast(self._share.value, forward.logits.dtype)
        corrected = corrected_loss(forward.logits, batch.labels, self.transitions.value)
        return {
            "corrected_loss": corrected.value,
            "logit_gradient": (1.0 - share) * corrected.gradient,
            "meta_loss": mean_cross_entropy(
                clean.logits, meta_batch.labels, meta_batch.sample_weight
            ),
            "meta_accuracy": accuracy(clean.logits, meta_batch.labels),
            "meta_logit_gradient": share * (tf.nn.softmax(clean.logits) - meta_batch.labels),
            "meta_forward": clean,
        }

    def weight_gradients(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch, step: dict[str, Any]
    ) -> tuple[list[tf.Tensor], list[keras.Variable]]:
        """The sum of the gradients of both batches."""
        noisy, variables = super().weight_gradients(forward, batch, meta_batch, step)
        clean, _ = self.pulled_back(
            step["meta_forward"],
            step["meta_logit_gradient"],
            meta_batch,
            regularized=False,  # once is enough
        )
        return [one + other for one, other in zip(noisy, clean, strict=True)], variables


def mean_answers(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Averages what a network answers to the examples of each class.

    Args:
        probabilities: (N, C).
        labels: true classes, one-hot, (N, C).

    Returns:
        A row of probabilities for each class, (C, C); for a class without examples its own label.
    """
    counts = labels.sum(axis=0)
    sums = labels.T @ probabilities
    means = sums / np.maximum(counts, 1.0)[:, np.newaxis]
    return np.where(counts[:, np.newaxis] > 0.0, means, np.eye(len(counts)))
