"""Forward correction: a transition matrix from the noisy set alone, and the loss corrected by it.

A network trained plainly on the noisy labels answers p(given label | x). An example x that is
certainly of class i, an anchor point, is given label j with probability C[i, j], so the answer to
it is a row of the transition matrix:

    x_i     = the example with the largest p_i(x), outliers left out
    C[i, :] = p(x_i).

Outliers are the examples from the 97th percentile of p_i on. Then the network is trained anew with
the corrected loss (`gdw_tf.methods.loss_correction`) on the noisy set. There is no clean set in
this; where `fit` is given one it is only evaluated.

The estimate lives on answers that are probabilities, not certainties. A network that has learned
its wrong labels by heart answers near 0 and 1 and makes C close to the identity, which corrects
nothing: mind long trainings of strong networks on few examples.

Source: Patrini et al., "Making deep neural networks robust to label noise: a loss correction
approach", CVPR 2017 (arXiv 1609.03683). What differs from the authors' program:
there the first stage keeps the epoch of least loss on held-out noisy examples, where ours keeps its
last weights; and outliers of one class are left out of the rows of later classes as well, a side
effect. They use the percentile on all data but CIFAR-100.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.lookahead import ForwardPass
from gdw_tf.methods.loss_correction import LossCorrection, corrected_loss

OUTLIER_PERCENTILE = 97


@keras.saving.register_keras_serializable("gdw_tf")
class ForwardCorrection(LossCorrection):
    """Trains a classifier with the corrected loss; see `LossCorrection` for its two stages.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        **kwargs: the options of `LossCorrection`.

    Raises:
        TypeError: `classifier` is not a Keras model.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    def estimated_transitions(
        self, training: tf.data.Dataset, meta: tf.data.Dataset | None
    ) -> np.ndarray:
        """The answers to the anchor points of the training set."""
        return anchor_answers(self.answers(training)[0])

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """The gradient of the corrected loss."""
        corrected = corrected_loss(forward.logits, batch.labels, self.transitions.value)
        return {"corrected_loss": corrected.value, "logit_gradient": corrected.gradient}


def anchor_answers(probabilities: np.ndarray) -> np.ndarray:
    """Picks for each class what a network answers to its anchor point.

    Args:
        probabilities: answers to N examples, (N, C).

    Returns:
        (C, C), a row of `probabilities` for each class: the row largest in the class's column, of
        those below its 97th percentile. Where no row is below, the largest.
    """
    # The smallest of the observed numbers that is at or above the percentile.
    bounds = np.percentile(probabilities, OUTLIER_PERCENTILE, axis=0, method="higher")
    candidates = np.where(probabilities < bounds, probabilities, -1.0)
    anchors = np.where(
        (candidates >= 0.0).any(axis=0), candidates.argmax(axis=0), probabilities.argmax(axis=0)
    )
    return probabilities[anchors]
