"""Balanced softmax: the softmax of a classifier that is to be right under balanced classes.

A classifier that sees class c in a share n_c / n of the training learns to expect it as often. If
its logits z are to be those for balanced classes, the probabilities in training are, by Bayes,

    p_j = n_j exp(z_j) / sum_k n_k exp(z_k),

so the loss is the cross-entropy with the shift log n_j; in use, without the shift, the classifier
expects every class alike:

    loss = c,   shift_j = log n_j,   h(c) = c.

It is `LogitAdjustment` with tau = 1: another way to the same loss.

Under GDW and MW-Net the meta loss knows no shift, as the classifier in use: it fits a meta set of
balanced classes, which is what the logits are for.

Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020,
section 3.1. (Its meta sampler is not part of the loss.)
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.losses.class_counts import ClassCountLoss


@keras.saving.register_keras_serializable("gdw_tf")
class BalancedSoftmax(ClassCountLoss):
    """Cross-entropy of a balanced softmax, for imbalanced classes; see `ClassCountLoss`."""

    def adjusted_logits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """z_j + log n_j."""
        return logits + self.by_class(np.log(self.counts), labels)
