"""The meta gradient of GDW and MW-Net against differences of the meta loss."""

from __future__ import annotations

import numpy as np
import pytest

import gdw_tf

from .meta_loss import CLASSES, Experiment, slopes

pytestmark = pytest.mark.usefixtures("float64")

methods = pytest.mark.parametrize("method", [gdw_tf.GDW, gdw_tf.MWNet])
networks = pytest.mark.parametrize("normalized", [False, True], ids=["plain", "batch_norm"])


def first_stage(experiment, outer_weights):
    """First-stage weights from the weights of the weight net."""
    kernel, bias, kernel_2, bias_2 = outer_weights
    p, one_hot = experiment.p, experiment.one_hot
    ce = -np.log(p[np.arange(len(p)), experiment.labels])[:, None]
    hidden = np.maximum(ce @ kernel + bias, 0)
    omega = 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
    if isinstance(experiment.model, gdw_tf.MWNet):
        return omega
    omega = np.repeat(omega, CLASSES, axis=1)
    p_target = (p * one_hot).sum(axis=1, keepdims=True)
    on_target = (omega * p * (1 - one_hot)).sum(axis=1, keepdims=True) / (1 - p_target)
    return np.where(one_hot == 1, on_target, omega)


@methods
@networks
def test_meta_gradient_is_the_slope_of_the_meta_loss_along_the_weights(method, normalized):
    experiment = Experiment(method, normalized=normalized)

    def loss(omega):
        return experiment.meta_loss(omega * experiment.d1)

    omega = first_stage(experiment, experiment.outer_weights)
    expected = slopes(loss, omega)

    step = experiment.training_step()

    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(step["outer"], omega, rtol=1e-12)
    np.testing.assert_allclose(step["meta_loss"], loss(omega), rtol=1e-12)
    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)


@methods
@networks
def test_the_weight_net_descends_the_slope_of_the_meta_loss_along_its_weights(method, normalized):
    experiment = Experiment(method, normalized=normalized)
    before = experiment.outer_weights

    experiment.training_step()

    assert np.abs(before[0] - experiment.outer_weights[0]).max() > 1e-4
    experiment.assert_outer_weights_descended(
        lambda weights: first_stage(experiment, weights) * experiment.d1, before
    )
