"""The meta gradient against differences of the meta loss along explicit virtual steps.

Nothing here differentiates twice: the Jacobian of the logits is made row by row, the virtual step
is taken by giving the classifier other weights, and the slope of the meta loss is measured.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import gdw_tf
from gdw_tf import losses
from gdw_tf.methods.weighting import WeightingMethod

CLASSES, WIDTH, ALPHA = 3, 4, 0.7
STEP = 1e-5  # of the differences
PROGRESS = 0.9  # of the training, where losses that change in its course have changed

pytestmark = pytest.mark.usefixtures("float64")


def network(*, normalized: bool) -> keras.Model:
    body = [layers.Dense(5), layers.BatchNormalization()] if normalized else [layers.Dense(5)]
    return keras.Sequential(
        [keras.Input((4,)), *body, layers.Activation("tanh"), layers.Dense(CLASSES)]
    )


class Experiment:
    """A model, its batches, and the meta loss as a function of what the method learns.

    The gradient D1 of the base loss is taken from its values, as a Keras loss has them.
    """

    def __init__(
        self, method, *, normalized: bool, meta_loss: str = "cross_entropy", base_loss=None
    ) -> None:
        keras.utils.set_random_seed(3)
        generator = np.random.default_rng(3)
        self.x, self.x_meta = generator.normal(size=(2, 6, 4))
        self.labels, self.labels_meta = generator.integers(CLASSES, size=(2, 6))
        options = {"hidden_units": WIDTH} if "hidden_units" in method.option_names else {}
        options |= {"meta_loss": meta_loss, "base_loss": base_loss}
        self.model = method(network(normalized=normalized), **options)
        # Plain gradient descent at rate 1 takes the gradient itself off the weight net's weights.
        self.model.compile(
            gdw_tf.CoupledSGD(ALPHA), weight_optimizer=keras.optimizers.SGD(learning_rate=1.0)
        )
        self.model.progress.assign(PROGRESS)
        self.outer_weights = [variable.numpy() for variable in self.model.outer_variables]
        self.moving_classifier = network(normalized=normalized)
        self.moving_classifier.set_weights(self.model.classifier.get_weights())
        self.theta = [v.numpy() for v in self.moving_classifier.trainable_variables]
        self.logits, self.jacobian = self.logits_and_jacobian()
        self.one_hot = np.eye(CLASSES)[self.labels]
        loss = base_loss or keras.losses.CategoricalCrossentropy(from_logits=True)
        with tf.GradientTape() as tape:
            logits = tf.constant(self.logits)
            tape.watch(logits)
            values = loss.call(self.one_hot, logits)
        self.losses = values.numpy()[:, np.newaxis]
        self.d1 = tape.gradient(values, logits).numpy()

    def logits_and_jacobian(self):
        """Logits z (B, C), and dz/d theta for each variable, (B, C, *shape)."""
        variables = [variable.value for variable in self.moving_classifier.trainable_variables]
        with tf.GradientTape() as tape:
            logits = self.moving_classifier(self.x, training=True)
        return logits.numpy(), [rows.numpy() for rows in tape.jacobian(logits, variables)]

    def meta_loss(self, omega):
        """The meta loss after a virtual step with the weights omega on D1."""
        u = omega * self.d1
        for variable, theta, rows in zip(
            self.moving_classifier.trainable_variables, self.theta, self.jacobian, strict=True
        ):
            variable.assign(theta - ALPHA * np.tensordot(u, rows, axes=2) / len(self.x))
        z = self.moving_classifier(self.x_meta, training=True).numpy()
        p_label = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))[
            np.arange(len(z)), self.labels_meta
        ]
        return (2 - 2 * p_label if self.model.meta_loss == "mae" else -np.log(p_label)).mean()

    def omega(self, outer_weights):
        """First-stage weights from the weights of the weight net."""
        kernel, bias, kernel_2, bias_2 = outer_weights
        hidden = np.maximum(self.losses @ kernel + bias, 0)
        omega = 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
        if isinstance(self.model, gdw_tf.MWNet):
            return omega
        # The weight on the target makes the weighted gradient sum to zero.
        omega = np.repeat(omega, CLASSES, axis=1)
        pull_of_others = (omega * self.d1 * (1 - self.one_hot)).sum(axis=1, keepdims=True)
        on_target = -pull_of_others / (self.d1 * self.one_hot).sum(axis=1, keepdims=True)
        return np.where(self.one_hot == 1, on_target, omega)

    def training_step(self):
        return self.model.training_step(((self.x, self.labels), (self.x_meta, self.labels_meta)))


def slopes(function, point):
    """Central differences of a function of an array."""
    answer = np.empty_like(point)
    for index in np.ndindex(*point.shape):
        shift = np.zeros_like(point)
        shift[index] = STEP
        answer[index] = (function(point + shift) - function(point - shift)) / (2 * STEP)
    return answer


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
    omega = experiment.omega(experiment.outer_weights)
    expected = slopes(experiment.meta_loss, omega)

    step = experiment.training_step()

    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(step["outer"], omega, rtol=1e-12)
    np.testing.assert_allclose(step["meta_loss"], experiment.meta_loss(omega), rtol=1e-12)
    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)


@methods
@base_losses
def test_meta_gradient_is_that_slope_for_every_base_loss(method, base_loss):
    experiment = Experiment(method, normalized=False, base_loss=build_loss(base_loss))
    omega = experiment.omega(experiment.outer_weights)
    expected = slopes(experiment.meta_loss, omega)

    step = experiment.training_step()

    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(step["outer"], omega, rtol=1e-10)
    np.testing.assert_allclose(step["example_loss"], experiment.losses, rtol=1e-12)
    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)
    u = step["updated_outer"] * experiment.d1
    np.testing.assert_allclose(step["logit_gradient"], u, rtol=1e-10, atol=1e-14)
    if method is gdw_tf.GDW:
        np.testing.assert_allclose(u.numpy().sum(axis=1), 0, atol=1e-12)


@methods
@networks
@meta_losses
def test_the_weight_net_descends_the_slope_of_the_meta_loss_along_its_weights(
    method, normalized, meta_loss
):
    experiment = Experiment(method, normalized=normalized, meta_loss=meta_loss)

    experiment.training_step()

    before, after = experiment.outer_weights, experiment.model.weight_net.get_weights()
    gradients = [old - new for old, new in zip(before, after, strict=True)]
    assert np.abs(gradients[0]).max() > 1e-4
    for position, gradient in enumerate(gradients):

        def loss(weight, position=position):
            weights = [*before[:position], weight, *before[position + 1 :]]
            return experiment.meta_loss(experiment.omega(weights))

        np.testing.assert_allclose(
            gradient, slopes(loss, before[position]), rtol=1e-6, atol=1e-9, err_msg=str(position)
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
    expected = slopes(experiment.meta_loss, np.zeros((len(experiment.x), 1)))

    step = experiment.training_step()

    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)
    weights = np.maximum(-expected, 0)
    assert 0 < np.count_nonzero(weights) < len(weights)
    np.testing.assert_allclose(step["updated_outer"], weights, rtol=1e-6, atol=1e-9)
