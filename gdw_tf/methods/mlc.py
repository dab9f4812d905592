"""MLC: labels corrected by a small network that sees the features and the given label.

    phi    = G(features, y)                  (B, C)
    u(phi) = p - phi
    phi'   = G(features, y), after G's own step; the given label in the warm-up

with G a perceptron of two hidden layers on the features joined with an embedding of the label.

The paper looks k steps of the classifier ahead; here k is 1, its simplest case. Its features are
those of the classifier as it is, there is no warm-up, and its authors' program can train the
classifier on half of every clean batch besides. Here the features are those at the end of a
warm-up, and the clean labels teach the label net alone.

Source: Zheng et al., "Meta Label Correction for Noisy Label Learning", AAAI 2021 (arXiv
1911.03809).
"""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf.methods.labeling import LabelNetMethod

EMBEDDING, HIDDEN_UNITS = 64, 128  # of the authors' program


@keras.saving.register_keras_serializable("gdw_tf")
class MLC(LabelNetMethod):
    """Meta label correction; see `LabelNetMethod` for the arguments."""

    def build_label_net(self, num_features: int, num_classes: int) -> keras.Model:
        """Builds G, from features (B, F) and one-hot labels (B, C) to labels (B, C)."""

        def dense(units: int, activation: str) -> keras.layers.Dense:
            return keras.layers.Dense(
                units,
                activation,
                kernel_initializer="glorot_normal",
                dtype=keras.config.floatx(),
            )

        features = keras.Input((num_features,), name="features")
        labels = keras.Input((num_classes,), name="labels")
        embedding = keras.layers.Dense(
            EMBEDDING, use_bias=False, dtype=keras.config.floatx(), name="embedding"
        )
        x = keras.layers.Concatenate(dtype=keras.config.floatx())([features, embedding(labels)])
        x = dense(HIDDEN_UNITS, "tanh")(x)
        x = dense(HIDDEN_UNITS, "tanh")(x)
        x = dense(num_classes, "softmax")(x)
        return keras.Model([features, labels], x, name="label_net")

    def soft_labels(self, features: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """G's labels, (B, C), whatever the logits."""
        return tf.cast(self.label_net([features, labels]), labels.dtype)
