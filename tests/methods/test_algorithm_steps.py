"""The steps of GDW and MW-Net against a second implementation, in NumPy and with explicit formulas.

The classifier is a perceptron with one hidden layer. Its derivatives, the Jacobian-vector product
of the meta gradient among them, are written out here; nothing is shared with the package.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

FEATURES, HIDDEN, CLASSES, WIDTH = 4, 6, 3, 5
BATCH, META_BATCH = 8, 5
LEARNING_RATES = (0.4, 0.4, 0.15, 0.05)  # a schedule that moves
MOMENTUM, WEIGHT_DECAY = 0.9, 0.01
OUTER_RATE, OUTER_DECAY = 0.01, 0.02

pytestmark = pytest.mark.usefixtures("float64")


# The reference.


def softmax(z):
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def cross_entropies(z, labels):
    shifted = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(z)), labels]


class Perceptron:
    """z = tanh(x K + a) M + b, with weights [K, a, M, b]."""

    def __init__(self, weights):
        self.weights = weights

    def hidden(self, x):
        return np.tanh(x @ self.weights[0] + self.weights[1])

    def logits(self, x):
        return self.hidden(x) @ self.weights[2] + self.weights[3]

    def pulled_back(self, x, u):
        """J^T u, a gradient for each of the weights."""
        hidden = self.hidden(x)
        inner = (u @ self.weights[2].T) * (1 - hidden**2)
        return [x.T @ inner, inner.sum(axis=0), hidden.T @ u, u.sum(axis=0)]

    def pushed_forward(self, x, v):
        """J v, what a change v of the weights does to the logits."""
        hidden = self.hidden(x)
        change = (1 - hidden**2) * (x @ v[0] + v[1])
        return change @ self.weights[2] + hidden @ v[2] + v[3]


class WeightNet:
    """s = sigmoid(relu(ce K + a) M + b)."""

    def __init__(self, weights):
        self.weights = weights
        self.first = [np.zeros_like(weight) for weight in weights]
        self.second = [np.zeros_like(weight) for weight in weights]
        self.steps = 0

    def answer(self, ce):
        hidden = np.maximum(ce @ self.weights[0] + self.weights[1], 0)
        return 1 / (1 + np.exp(-(hidden @ self.weights[2] + self.weights[3])))

    def gradients(self, ce, slope):
        """Of a loss with the given slope on each answer."""
        inner = ce @ self.weights[0] + self.weights[1]
        answer = self.answer(ce)
        outer = slope * answer * (1 - answer)
        before = (outer @ self.weights[2].T) * (inner > 0)
        return [
            ce.T @ before,
            before.sum(axis=0),
            np.maximum(inner, 0).T @ outer,
            outer.sum(axis=0),
        ]

    def adam(self, gradients):
        self.steps += 1
        for index, weight in enumerate(self.weights):
            g = gradients[index] + OUTER_DECAY * weight
            self.first[index] = 0.9 * self.first[index] + 0.1 * g
            self.second[index] = 0.999 * self.second[index] + 0.001 * g**2
            mean = self.first[index] / (1 - 0.9**self.steps)
            deviation = np.sqrt(self.second[index] / (1 - 0.999**self.steps))
            self.weights[index] = weight - OUTER_RATE * mean / (deviation + 1e-8)


@dataclasses.dataclass
class Reference:
    """Takes the steps of the algorithm on explicit weights."""

    classifier: Perceptron
    weight_net: WeightNet
    by_class: bool  # GDW; else MW-Net
    zero_mean: bool = True
    outer_lr: float = 0.1 * BATCH * CLASSES
    clip: float = 0.2
    virtual_lr: float | None = None
    penalty: float = 0.0  # of the squares of K

    def __post_init__(self):
        self.momenta = [np.zeros_like(weight) for weight in self.classifier.weights]
        self.updates = []

    def constrained(self, weights, p, labels):
        if not self.zero_mean:
            return weights
        weights = weights.copy()
        for row, label in enumerate(labels):
            others = [j for j in range(CLASSES) if j != label]
            pull = sum(weights[row, j] * p[row, j] for j in others)
            weights[row, label] = pull / (1 - p[row, label])
        return weights

    def slope_on_answers(self, g, p, labels):
        """dL/ds of the weight net's answers s from dL/d omega, through the constraint."""
        if not self.by_class or not self.zero_mean:
            return g.sum(axis=1, keepdims=True)
        slopes = np.zeros((len(g), 1))
        for row, label in enumerate(labels):
            for j in range(CLASSES):
                if j != label:
                    slopes[row] += g[row, j] + g[row, label] * p[row, j] / (1 - p[row, label])
        return slopes

    def step(self, batch, meta_batch, learning_rate):
        x, labels, weight = batch
        x_meta, labels_meta, weight_meta = meta_batch
        weight = np.ones(len(x)) if weight is None else weight
        weight_meta = np.ones(len(x_meta)) if weight_meta is None else weight_meta
        share = weight[:, None] / len(x)
        alpha = learning_rate if self.virtual_lr is None else self.virtual_lr

        # 1. Forward.
        z = self.classifier.logits(x)
        ce = cross_entropies(z, labels)[:, None]
        p = np.minimum(softmax(z), 0.999)
        d1 = p - np.eye(CLASSES)[labels]
        # 2. and 3. First-stage weights.
        omega = self.weight_net.answer(ce)
        if self.by_class:
            omega = self.constrained(np.tile(omega, CLASSES), p, labels)
        # 4. Virtual step.
        virtual = Perceptron(
            [
                theta - alpha * gradient
                for theta, gradient in zip(
                    self.classifier.weights,
                    self.classifier.pulled_back(x, omega * d1 * share),
                    strict=True,
                )
            ]
        )
        # 5. Meta loss.
        z_meta = virtual.logits(x_meta)
        meta_loss = (weight_meta * cross_entropies(z_meta, labels_meta)).sum() / len(x_meta)
        d1_meta = softmax(z_meta) - np.eye(CLASSES)[labels_meta]
        v = virtual.pulled_back(x_meta, d1_meta * weight_meta[:, None] / len(x_meta))
        # 6. Meta gradient.
        g = -alpha * share * d1 * self.classifier.pushed_forward(x, v)
        if not self.by_class:
            g = g.sum(axis=1, keepdims=True)
        # 7. Weight net.
        slopes = self.slope_on_answers(g, p, labels)
        self.weight_net.adam(self.weight_net.gradients(ce, slopes))
        # 8. Second-stage weights.
        if self.by_class:
            update = np.clip(self.outer_lr * g / np.abs(g).sum(), -self.clip, self.clip)
            final = self.constrained(np.clip(omega - update, 1e-6, 1e6), p, labels)
            self.updates.append(update)
        else:
            final = self.weight_net.answer(ce)
        # 9. Actual step.
        gradients = self.classifier.pulled_back(x, final * d1 * share)
        gradients[0] = gradients[0] + 2 * self.penalty * self.classifier.weights[0]
        for index, theta in enumerate(self.classifier.weights):
            coupled = gradients[index] + WEIGHT_DECAY * theta
            self.momenta[index] = MOMENTUM * self.momenta[index] + coupled
            self.classifier.weights[index] = theta - learning_rate * self.momenta[index]
        return {
            "logits": z,
            "example_loss": ce,
            "is_measured": 1.0,
            "loss": (weight * ce[:, 0]).sum() / len(x),
            "virtual_lr": alpha,
            "outer": omega,
            "first_stage_weight": omega,
            "meta_loss": meta_loss,
            "meta_accuracy": (z_meta.argmax(axis=1) == labels_meta).mean(),
            "meta_gradient": g,
            "updated_outer": final,
            "target_weight": (final * np.eye(CLASSES)[labels]).sum(axis=1),
            "logit_gradient": final * d1,
        }


# Both side by side.


def make_pair(method, *, penalty=0.0, **options):
    """A compiled model and a reference of the same weights."""
    generator = np.random.default_rng(0)
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    theta = [generator.normal(0, 1.5, shape) for shape in shapes]
    outer = [generator.uniform(-1, 1, shape) for shape in [(1, WIDTH), (WIDTH,), (WIDTH, 1), (1,)]]
    classifier = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(
                HIDDEN,
                "tanh",
                kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
            ),
            keras.layers.Dense(CLASSES),
        ]
    )
    model = method(classifier, hidden_units=WIDTH, **options)
    model.compile(
        gdw_tf.CoupledSGD(LEARNING_RATES[0], MOMENTUM, WEIGHT_DECAY),
        weight_optimizer=gdw_tf.CoupledAdam(OUTER_RATE, weight_decay=OUTER_DECAY),
    )
    classifier.set_weights(theta)
    model.weight_net.set_weights(outer)
    if options.get("outer_lr") == "auto":
        options.pop("outer_lr")
    return model, Reference(
        Perceptron(theta),
        WeightNet(outer),
        by_class=method is gdw_tf.GDW,
        penalty=penalty,
        **options,
    )


def batches(*, weighted: bool):
    """A training and a meta batch for every step; some examples are far out, hence sure."""
    generator = np.random.default_rng(1)
    for _ in LEARNING_RATES:
        pair = []
        for size in (BATCH, META_BATCH):
            x = generator.normal(size=(size, FEATURES))
            x[:2] *= 20
            weight = generator.uniform(0, 2, size) if weighted else None
            pair.append((x, generator.integers(CLASSES, size=size), weight))
        yield pair


def assert_same_steps(model, reference, *, weighted=False):
    """Compares every quantity of every step, and the weights at the end; returns the steps'."""
    steps = []
    for rate, (batch, meta_batch) in zip(LEARNING_RATES, batches(weighted=weighted), strict=True):
        model.optimizer.learning_rate = rate
        step = model.training_step(
            tuple(
                tuple(tf.constant(part) for part in data if part is not None)
                for data in (batch, meta_batch)
            )
        )
        expected = reference.step(batch, meta_batch, rate)
        assert step.keys() == {*expected, "non_finite"}
        assert not step["non_finite"].numpy().any()
        for name, value in expected.items():
            assert step[name].shape == np.shape(value), name
            np.testing.assert_allclose(step[name], value, rtol=1e-10, atol=1e-13, err_msg=name)
        steps.append(expected)
    for network, weights in (
        (model.classifier, reference.classifier.weights),
        (model.weight_net, reference.weight_net.weights),
    ):
        for variable, weight in zip(network.trainable_variables, weights, strict=True):
            np.testing.assert_allclose(
                variable, weight, rtol=1e-10, atol=1e-12, err_msg=variable.path
            )
    return steps


def test_the_steps_of_gdw():
    model, reference = make_pair(gdw_tf.GDW)

    steps = assert_same_steps(model, reference)

    # The batches reach every clip of the algorithm, and what lies between.
    updates = np.abs(reference.updates)
    probabilities = softmax(np.concatenate([step["logits"] for step in steps]))
    final = np.array([step["updated_outer"] for step in steps])
    assert 0 < np.mean(updates == 0.2) < 1
    assert 0 < np.mean(probabilities > 0.999) < 1
    assert 0 < np.mean(final == 1e-6) < 1


@pytest.mark.parametrize(
    "options",
    [
        {"outer_lr": "auto"},
        {"outer_lr": 0.7},
        {"outer_lr": 0.0},
        {"clip": 0.03},
        {"zero_mean": False},
        {"virtual_lr": 0.07},
        {"penalty": 0.125},
    ],
    ids=str,
)
def test_the_steps_of_gdw_with_an_option(options):
    assert_same_steps(*make_pair(gdw_tf.GDW, **options))


@pytest.mark.parametrize("options", [{}, {"virtual_lr": 0.07}, {"penalty": 0.125}], ids=str)
def test_the_steps_of_mw_net(options):
    assert_same_steps(*make_pair(gdw_tf.MWNet, **options))


@pytest.mark.parametrize("method", [gdw_tf.GDW, gdw_tf.MWNet])
def test_sample_weights_multiply_each_examples_share_of_every_loss(method):
    assert_same_steps(*make_pair(method), weighted=True)


def test_the_gradient_of_the_second_stage_sums_to_zero_over_the_classes():
    model, _ = make_pair(gdw_tf.GDW)
    for batch, meta_batch in batches(weighted=False):
        step = model.training_step((batch[:2], meta_batch[:2]))
        unsure = softmax(step["logits"].numpy()).max(axis=1) < 0.999
        sums = step["logit_gradient"].numpy()[unsure].sum(axis=1)
        np.testing.assert_allclose(sums, 0.0, atol=1e-14)


def test_an_automatic_outer_rate_follows_the_size_of_the_batch():
    model, _ = make_pair(gdw_tf.GDW, clip=1e9)
    for size in (2, 5):
        gradient = tf.constant(np.random.default_rng(2).normal(size=(size, CLASSES)))
        mean = np.abs(model.class_level_update(gradient)).mean()
        np.testing.assert_allclose(mean, 0.1, rtol=1e-12)
