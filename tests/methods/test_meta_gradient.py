"""The meta gradient of GDW and MW-Net against differences of the meta loss."""

from __future__ import annotations

import numpy as np
import pytest

import gdw_tf

from .meta_loss import CLASSES, Experiment

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
    omega = first_stage(experiment, experiment.outer_weights)

    step = experiment.training_step()

    experiment.assert_meta_gradient(step, omega, lambda weights: weights * experiment.d1)


@methods
@networks
def test_the_weight_net_descends_the_slope_of_the_meta_loss_along_its_weights(method, normalized):
    experiment = Experiment(method, normalized=normalized)
    experiment.assert_outer_weights_descend(
        lambda weights: first_stage(experiment, weights) * experiment.d1
    )
