"""Gen-label and MLC: their label nets in NumPy, the warm-up, and what they ask of a classifier."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf

from . import examples
from .meta_loss import Experiment, slopes, softmax

METHODS = {"gen_label": gdw_tf.GenLabel, "mlc": gdw_tf.MLC}

methods = pytest.mark.parametrize("method", METHODS)
networks = pytest.mark.parametrize("normalized", [False, True], ids=["plain", "batch_norm"])

X, Y = examples.arrays()
META = examples.arrays(9, seed=1)


class LabelExperiment(Experiment):
    """An experiment with a label net of random weights."""

    def __init__(self, method, **options):
        super().__init__(METHODS[method], **options)
        self.method = method
        generator = np.random.default_rng(4)
        for variable in self.model.outer_variables:
            variable.assign(generator.normal(0, 0.4, variable.shape))
        body = keras.Model(
            self.moving_classifier.inputs[0], self.moving_classifier.layers[-1].input
        )
        self.moving_classifier.set_weights(self.model.classifier.get_weights())
        self.moving_classifier(self.x, training=True)  # whose moving statistics the copy has
        self.features = body(self.x, training=False).numpy()
        self.seen_logits = self.moving_classifier(self.x, training=False).numpy()

    def soft_labels(self, weights):
        if self.method == "gen_label":
            kernel, bias = weights
            return softmax(self.seen_logits + self.features @ kernel + bias)
        embedding, *layers = weights
        x = np.concatenate([self.features, embedding[self.labels]], axis=1)
        x = np.tanh(x @ layers[0] + layers[1])
        x = np.tanh(x @ layers[2] + layers[3])
        return softmax(x @ layers[4] + layers[5])


@pytest.mark.usefixtures("float64")
@methods
@networks
def test_the_meta_gradient_is_the_slope_of_the_meta_loss_along_the_labels(method, normalized):
    experiment = LabelExperiment(method, normalized=normalized)
    labels = experiment.soft_labels(experiment.outer_weights)

    step = experiment.training_step()

    experiment.assert_meta_gradient(step, labels, lambda q: experiment.p - q)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", ["gen_label"])  # MLC has 25,000 weights
@networks
def test_the_label_net_descends_the_slope_of_the_meta_loss_along_its_weights(method, normalized):
    experiment = LabelExperiment(method, normalized=normalized)
    experiment.assert_outer_weights_descend(
        lambda weights: experiment.p - experiment.soft_labels(weights)
    )


@pytest.mark.usefixtures("float64")
def test_the_label_net_of_mlc_descends_along_a_few_directions():
    experiment = LabelExperiment("mlc")
    before = experiment.outer_weights

    experiment.training_step()

    taken = [old - new for old, new in zip(before, experiment.outer_weights, strict=True)]
    generator = np.random.default_rng(5)
    for position in range(len(before)):
        direction = generator.normal(size=before[position].shape)

        def loss(distance, position=position, direction=direction):
            moved = before[position] + distance * direction
            weights = [*before[:position], moved, *before[position + 1 :]]
            return experiment.meta_loss(experiment.p - experiment.soft_labels(weights))

        slope = slopes(lambda distance, loss=loss: loss(distance[0]), np.zeros(1))
        np.testing.assert_allclose((taken[position] * direction).sum(), slope[0], rtol=1e-6)


@pytest.mark.usefixtures("float64")
@methods
def test_after_the_warm_up_the_updated_label_net_gives_the_labels(method):
    experiment = LabelExperiment(method, warm_up=0.5)
    warm = experiment.training_step()
    np.testing.assert_array_equal(warm["updated_outer"], experiment.one_hot)
    np.testing.assert_array_equal(warm["given_label"], np.ones(6))

    experiment.model.progress.assign(0.5)
    step = experiment.training_step()

    # The classifier has moved; what the label net sees is what it was before.
    labels = experiment.soft_labels(experiment.outer_weights)
    np.testing.assert_allclose(step["updated_outer"], labels, rtol=1e-12)
    np.testing.assert_allclose(step["given_label"], labels[np.arange(6), experiment.labels])
    logits = step["logits"]
    assert np.abs(logits - experiment.logits).max() > 1e-3
    np.testing.assert_allclose(step["logit_gradient"], softmax(logits) - labels, rtol=1e-12)


@methods
def test_a_training_that_begins_behind_the_warm_up_takes_the_classifier_for_a_warmed_up_one(method):
    model = examples.compiled(method, run_eagerly=True)
    before = model.classifier.get_weights()
    for copied, weight in zip(model.warmed_up.get_weights(), before, strict=True):
        assert (copied != weight).any() == weight.any()  # a draw of its own, but for biases
    model.fit(X, Y, meta_data=META, batch_size=16, initial_epoch=5, epochs=6, verbose=0)
    for copied, weight in zip(model.warmed_up.get_weights(), before, strict=True):
        np.testing.assert_array_equal(copied, weight)


@pytest.mark.usefixtures("float64")
def test_gen_label_starts_with_the_answers_of_the_warmed_up_classifier():
    experiment = Experiment(gdw_tf.GenLabel)
    np.testing.assert_allclose(experiment.training_step()["outer"], experiment.p, rtol=1e-12)


@methods
def test_in_a_step_without_meta_gradient_the_label_net_is_used_as_it_stands(method):
    model = examples.compiled(method, options={"meta_every": 2}, run_eagerly=True)
    batches = (X, Y), META
    model.training_step(batches)
    model.progress.assign(0.5)
    before = model.label_net.get_weights()

    step = model.training_step(batches)

    assert step["is_measured"] == 0
    np.testing.assert_array_equal(step["updated_outer"], step["outer"])
    assert np.abs(step["outer"] - np.eye(examples.CLASSES)[Y]).max() > 0.1
    for old, new in zip(before, model.label_net.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@methods
def test_the_warm_up_is_plain_training(method):
    def trained(name, **options):
        model = examples.compiled(name, examples.normalized, options=options, run_eagerly=True)
        start = [np.asarray(variable) for variable in model.trainable_variables]
        model.fit(X, Y, meta_data=META, batch_size=16, epochs=2, verbose=0)
        return model, start

    model, start = trained(method, warm_up=1.0)
    plain, _ = trained("ce")

    for one, other in zip(model.classifier.weights, plain.classifier.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    moved = [np.abs(a - b).max() for a, b in zip(model.trainable_variables, start, strict=True)]
    assert min(moved) > 0  # the label net learns all the while


@methods
def test_the_copy_of_the_classifier_stays_as_it_was_at_the_end_of_the_warm_up(method):
    model = examples.compiled(method, options={"warm_up": 0.5}, run_eagerly=True)
    classifiers, copies = [], []

    def record(epoch, logs):
        classifiers.append(model.classifier.get_weights())
        copies.append(model.warmed_up.get_weights())

    callback = keras.callbacks.LambdaCallback(on_epoch_end=record)
    # One step an epoch: the copy is taken at the start of the step.
    model.fit(X, Y, meta_data=META, batch_size=32, epochs=4, callbacks=[callback], verbose=0)

    for copy, expected in ((1, 0), (2, 0), (3, 0)):
        for one, other in zip(copies[copy], classifiers[expected], strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(classifiers[3][0], classifiers[0][0])


@methods
@pytest.mark.parametrize(
    "classifier",
    [lambda: examples.subclassed(built=True), lambda: examples.sequential(built=False)],
    ids=["subclassed", "without known inputs"],
)
def test_a_classifier_whose_features_cannot_be_read_is_refused(method, classifier):
    with pytest.raises(ValueError, match="functional or sequential model with known inputs.*Rec"):
        METHODS[method](classifier())


@methods
@pytest.mark.parametrize(
    ("warm_up", "error"), [(0, ValueError), (1.5, ValueError), ("long", TypeError)]
)
def test_a_warm_up_is_a_share(method, warm_up, error):
    with pytest.raises(error, match=r"warm_up.*Received: warm_up="):
        METHODS[method](examples.functional(), warm_up=warm_up)
