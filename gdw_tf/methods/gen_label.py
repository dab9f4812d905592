"""Gen-label: labels generated from the classifier's features by one dense layer.

    phi    = G(features) = softmax(z + features K + b)      (B, C)
    u(phi) = p - phi
    phi'   = G(features), after G's own step; the given label in the warm-up

with features and logits z of the classifier as it was at the end of the warm-up. K and b start at
zero, G therefore as that classifier. It does not see the given label: what G knows beyond the
warm-up, it knows from the meta set, by way of the meta gradient.

The authors too warm the classifier up on the given labels (44 of 120 epochs on CIFAR-10) and take
the features from a copy of it. Their G is a softmax layer on the features that starts at random,
which needs many more steps until its labels are better than the given ones; where the classifier's
last layer is dense, ours is the same layer, started at the classifier's. They train on
KL(p || phi) and the entropy of p; here, as everywhere in this library, on the cross-entropy.

Source: Algan & Ulusoy, "MetaLabelNet: Learning to Generate Soft-Labels from Noisy-Labels", 2021
(arXiv 2103.10869). Their earlier "Meta Soft Label Generation for Noisy Labels", ICPR 2020 (arXiv
2007.05836), learns a label for each training example, as `gdw_tf.methods.soft_label` does.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf.methods.labeling import LabelNetMethod


@keras.saving.register_keras_serializable("gdw_tf")
class GenLabel(LabelNetMethod):
    """Generated labels; see `LabelNetMethod` for the arguments."""

    def build_label_net(self, num_features: int, num_classes: int) -> keras.Model:
        """Builds the learned part of G: features (B, F) to what is added to the logits, (B, C)."""
        return keras.Sequential(
            [
                keras.Input((num_features,), name="features"),
                keras.layers.Dense(
                    num_classes, kernel_initializer="zeros", dtype=keras.config.floatx()
                ),
            ],
            name="label_net",
        )

    def soft_labels(self, features: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """G's labels, (B, C), whatever the given ones."""
        return tf.nn.softmax(logits + tf.cast(self.label_net(features), logits.dtype))
