"""The meta gradient of GDW and MW-Net against differences of the meta loss."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf import losses
from gdw_tf.methods.weighting import WeightingMethod

from .meta_loss import Experiment, first_stage, slopes

PROGRESS = 0.9  # of the training, where losses that change in its course have changed

pytestmark = pytest.mark.usefixtures("float64")

methods = pytest.mark.parametrize("method", [gdw_tf.GDW, gdw_tf.MWNet])
networks = pytest.mark.parametrize("normalized", [False, True], ids=["plain", "batch_norm"])
meta_losses = pytest.mark.parametrize("meta_loss", ["cross_entropy", "mae"])
base_losses = pytest.mark.parametrize("base_loss", losses.names())


def build_loss(name: str) -> losses.SoftmaxLoss:
    loss = losses.build(name, [7, 3, 2])
    if loss.progress is not None:
        loss.progress.assign(PROGRESS)
    return loss


@methods
@networks
@meta_losses
def test_meta_gradient_is_the_slope_of_the_meta_loss_along_the_weights(
    method, normalized, meta_loss
):
    experiment = Experiment(method, normalized=normalized, meta_loss=meta_loss)
    omega = first_stage(experiment, experiment.outer_weights)

    step = experiment.training_step()

    experiment.assert_meta_gradient(step, omega, lambda weights: weights * experiment.d1)


@methods
@base_losses
def test_meta_gradient_is_that_slope_for_every_base_loss(method, base_loss):
    experiment = Experiment(method, base_loss=build_loss(base_loss), progress=PROGRESS)
    omega = first_stage(experiment, experiment.outer_weights)
    expected = slopes(lambda omega: experiment.meta_loss(omega * experiment.d1), omega)

    step = experiment.training_step()

    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(step["outer"], omega, rtol=1e-10)
    np.testing.assert_allclose(step["example_loss"], experiment.losses, rtol=1e-12)
    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)
    u = step["updated_outer"] * experiment.d1
    np.testing.assert_allclose(step["logit_gradient"], u, rtol=1e-10, atol=1e-14)
    if method is gdw_tf.GDW:
        np.testing.assert_allclose(u.sum(axis=1), 0, atol=1e-12)


@methods
@networks
@meta_losses
def test_the_weight_net_descends_the_slope_of_the_meta_loss_along_its_weights(
    method, normalized, meta_loss
):
    experiment = Experiment(method, normalized=normalized, meta_loss=meta_loss)
    experiment.assert_outer_weights_descend(
        lambda weights: first_stage(experiment, weights) * experiment.d1
    )


class FromZero(WeightingMethod):
    """Weights each example by how much a first little of it lowers the meta loss: no network."""

    def outer_parameters(self, batch, gradients):
        return tf.zeros_like(gradients.loss)

    def updated_outer_parameters(self, batch, gradients, outer, meta_gradient):
        return tf.nn.relu(-meta_gradient)


@networks
def test_outer_parameters_need_no_outer_model(normalized):
    experiment = Experiment(FromZero, normalized=normalized)
    expected = slopes(
        lambda omega: experiment.meta_loss(omega * experiment.d1), np.zeros((len(experiment.x), 1))
    )

    step = experiment.training_step()

    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)
    weights = np.maximum(-expected, 0)
    assert 0 < np.count_nonzero(weights) < len(weights)
    np.testing.assert_allclose(step["updated_outer"], weights, rtol=1e-6, atol=1e-9)
