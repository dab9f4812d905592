from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.meta_losses import META_LOSSES, check_meta_loss

LOGITS = np.random.default_rng(0).normal(scale=2.0, size=(5, 3))
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = np.array([0, 2, 1, 1, 0])
WEIGHTS = np.array([[1.0], [0.0], [2.0], [0.5], [1.0]])
EXAMPLE_LOSSES = {
    "cross_entropy": -np.log(P[np.arange(5), LABELS]),
    "mae": 2 * (1 - P[np.arange(5), LABELS]),
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "sample_weight"])
@pytest.mark.parametrize("name", META_LOSSES)
def test_a_meta_loss_is_the_mean_of_the_examples(name, weights):
    losses = EXAMPLE_LOSSES[name] * (1.0 if weights is None else weights[:, 0])
    value = META_LOSSES[name](tf.constant(LOGITS), tf.constant(np.eye(3)[LABELS]), weights)
    assert value.shape == ()
    np.testing.assert_allclose(value, losses.sum() / 5, rtol=1e-12)


def test_the_absolute_errors_of_all_labels_add_up_to_a_constant():
    # What makes the loss robust: 2 (C - 1) for every example, whatever the logits are.
    of_labels = [
        META_LOSSES["mae"](tf.constant(LOGITS), tf.constant(np.eye(3)[np.full(5, label)]), None)
        for label in range(3)
    ]
    np.testing.assert_allclose(sum(of_labels), 4.0, rtol=1e-12)


def test_an_unknown_meta_loss_is_an_error():
    with pytest.raises(ValueError, match="meta_loss='mse'; allowed: cross_entropy, mae"):
        check_meta_loss("mse")
