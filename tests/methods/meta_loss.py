"""The meta loss as a function of the logit gradient, without differentiating twice.

The Jacobian of the logits is made row by row, the virtual step is taken by giving the classifier
other weights, and slopes are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import gdw_tf

CLASSES, WIDTH, ALPHA = 3, 4, 0.7
STEP = 1e-5  # of the differences


def network(*, normalized: bool) -> keras.Model:
    body = [layers.Dense(5), layers.BatchNormalization()] if normalized else [layers.Dense(5)]
    return keras.Sequential(
        [keras.Input((4,)), *body, layers.Activation("tanh"), layers.Dense(CLASSES)]
    )


def softmax(z: np.ndarray, axis: int = 1) -> np.ndarray:
    exponentials = np.exp(z - z.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def slopes(function: Callable[[np.ndarray], float], point: np.ndarray) -> np.ndarray:
    """Central differences of a function of an array."""
    answer = np.empty_like(point)
    for index in np.ndindex(*point.shape):
        shift = np.zeros_like(point)
        shift[index] = STEP
        answer[index] = (function(point + shift) - function(point - shift)) / (2 * STEP)
    return answer


class Experiment:
    """A model, its batches, and the meta loss as a function of what the method learns.

    The gradient D1 of the base loss is taken from its values, as a Keras loss has them.
    """

    def __init__(
        self,
        method: type[gdw_tf.Method],
        *,
        normalized: bool = False,
        progress: float = 0.0,
        **options: Any,
    ) -> None:
        keras.utils.set_random_seed(3)
        generator = np.random.default_rng(3)
        self.x, self.x_meta = generator.normal(size=(2, 6, 4))
        self.labels, self.labels_meta = generator.integers(CLASSES, size=(2, 6))
        if "hidden_units" in method.option_names:
            options["hidden_units"] = WIDTH
        self.model = method(network(normalized=normalized), **options)
        # Plain gradient descent at rate 1 takes the gradient itself off the outer weights.
        self.model.compile(
            gdw_tf.CoupledSGD(ALPHA), weight_optimizer=keras.optimizers.SGD(learning_rate=1.0)
        )
        self.model.progress.assign(progress)
        self.moving_classifier = network(normalized=normalized)
        self.moving_classifier.set_weights(self.model.classifier.get_weights())
        self.theta = [v.numpy() for v in self.moving_classifier.trainable_variables]
        self.logits, self.jacobian = self.logits_and_jacobian()
        self.p = softmax(self.logits)
        self.one_hot = np.eye(CLASSES)[self.labels]
        loss = options.get("base_loss") or keras.losses.CategoricalCrossentropy(from_logits=True)
        with tf.GradientTape() as tape:
            logits = tf.constant(self.logits)
            tape.watch(logits)
            losses = loss.call(self.one_hot, logits)
        self.losses = losses.numpy()[:, np.newaxis]
        self.d1 = tape.gradient(losses, logits).numpy()

    @property
    def outer_weights(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.model.outer_variables]

    def logits_and_jacobian(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Logits z (B, C), and dz/d theta for each variable, (B, C, *shape)."""
        variables = [variable.value for variable in self.moving_classifier.trainable_variables]
        with tf.GradientTape() as tape:
            logits = self.moving_classifier(self.x, training=True)
        return logits.numpy(), [rows.numpy() for rows in tape.jacobian(logits, variables)]

    def meta_loss(self, u: np.ndarray) -> float:
        """The meta loss after a virtual step along the logit gradient u."""
        for variable, theta, rows in zip(
            self.moving_classifier.trainable_variables, self.theta, self.jacobian, strict=True
        ):
            variable.assign(theta - ALPHA * np.tensordot(u, rows, axes=2) / len(self.x))
        z = self.moving_classifier(self.x_meta, training=True).numpy()
        p_label = softmax(z)[np.arange(len(z)), self.labels_meta]
        return (2 - 2 * p_label if self.model.meta_loss == "mae" else -np.log(p_label)).mean()

    def remember(self, values: np.ndarray) -> None:
        """Gives the model a memory of so many examples, and sets it."""
        examples = np.resize(self.x, (len(values), 4)), np.resize(self.labels, len(values))
        meta = self.x_meta, self.labels_meta
        self.model.fit(*examples, meta_data=meta, epochs=0, verbose=0)
        self.model.example_memory.assign(values)

    def training_step(self, index: np.ndarray | None = None) -> dict[str, np.ndarray]:
        batch = (self.x, self.labels, None, index)
        step = self.model.training_step((batch, (self.x_meta, self.labels_meta)))
        return {name: value.numpy() for name, value in step.items()}

    def assert_meta_gradient(
        self,
        step: dict[str, np.ndarray],
        outer: np.ndarray,
        logit_gradient: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Compares phi, the meta loss and the meta gradient of a step with what is measured.

        Args:
            step: what the step returned.
            outer: phi.
            logit_gradient: u(phi).
        """

        def loss(point: np.ndarray) -> float:
            return self.meta_loss(logit_gradient(point))

        expected = slopes(loss, outer)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(step["outer"], outer, rtol=1e-12)
        np.testing.assert_allclose(step["meta_loss"], loss(outer), rtol=1e-12)
        np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)

    def assert_outer_weights_descend(
        self, logit_gradient: Callable[[list[np.ndarray]], np.ndarray]
    ) -> None:
        """Takes a step and compares that of the outer weights with slopes along each of them.

        Args:
            logit_gradient: u from the outer weights.
        """
        before = self.outer_weights
        self.training_step()
        assert np.abs(before[0] - self.outer_weights[0]).max() > 1e-4
        for position, (weight, after) in enumerate(zip(before, self.outer_weights, strict=True)):

            def loss(moved: np.ndarray, position: int = position) -> float:
                weights = [*before[:position], moved, *before[position + 1 :]]
                return self.meta_loss(logit_gradient(weights))

            np.testing.assert_allclose(
                weight - after, slopes(loss, weight), rtol=1e-6, atol=1e-9, err_msg=str(position)
            )


def first_stage(experiment: Experiment, outer_weights: list[np.ndarray]) -> np.ndarray:
    """First-stage weights of GDW or MW-Net from the weights of the weight net."""
    kernel, bias, kernel_2, bias_2 = outer_weights
    hidden = np.maximum(experiment.losses @ kernel + bias, 0)
    omega = 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2)))
    if isinstance(experiment.model, gdw_tf.MWNet):
        return omega
    # The weight on the target makes the weighted gradient sum to zero.
    omega = np.repeat(omega, CLASSES, axis=1)
    d1, one_hot = experiment.d1, experiment.one_hot
    pull_of_others = (omega * d1 * (1 - one_hot)).sum(axis=1, keepdims=True)
    on_target = -pull_of_others / (d1 * one_hot).sum(axis=1, keepdims=True)
    return np.where(one_hot == 1, on_target, omega)
