"""The cheaper meta gradients: every k-th step, and through a part of the classifier."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.virtual_scope import variables_in_scope

from . import examples
from .meta_loss import Experiment, first_stage, slopes

X, Y = examples.arrays(24)
META = examples.arrays(9, seed=1)
METHODS = ["gdw", "mw_net"]


def trained_steps(model, count):
    """What `count` training steps report, with the weight net's weights before each."""
    step, steps = tf.function(model.training_step), []
    index = np.arange(len(X))
    for _ in range(count):
        outer_weights = [variable.numpy() for variable in model.outer_variables]
        steps.append((step(((X, Y, None, index), META)), outer_weights))
    return steps


@pytest.mark.parametrize("method", METHODS)
def test_in_between_the_outer_model_is_used_as_it_stands(method):
    model = examples.compiled(method, options={"meta_every": 3})
    steps = trained_steps(model, 7)
    measured = [bool(step["is_measured"]) for step, _ in steps]
    assert measured == [True, False, False, True, False, False, True]
    for (step, before), (_, after) in zip(steps, steps[1:], strict=False):
        moved = any(np.any(a != b) for a, b in zip(before, after, strict=True))
        assert moved == bool(step["is_measured"])
        unchanged = np.array_equal(step["outer"], step["updated_outer"])
        assert unchanged != bool(step["is_measured"])


@pytest.mark.parametrize("method", METHODS)
def test_the_first_step_is_that_of_the_exact_method(method):
    exact, sparse = (
        trained_steps(examples.compiled(method, options={"meta_every": k}), 1)[0][0] for k in (1, 2)
    )
    assert exact.keys() == sparse.keys()
    for name in exact:
        np.testing.assert_allclose(exact[name], sparse[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_memory_carries_the_class_level_steps_over():
    model = examples.compiled("gdw", options={"meta_every": 2, "memory": 0.5})
    model.fit(X, Y, meta_data=META, epochs=0)
    (first, _), (second, _) = trained_steps(model, 2)
    remembered = np.asarray(model.example_memory)
    g = first["meta_gradient"].numpy()
    update = np.clip(0.1 * g.size * g / np.abs(g).sum(), -0.2, 0.2)
    np.testing.assert_allclose(remembered, update, rtol=1e-4, atol=1e-6)
    others = np.eye(examples.CLASSES)[Y] == 0  # the target's weight follows from these
    expected = np.clip(second["outer"] - remembered, 1e-6, None)
    np.testing.assert_allclose(second["updated_outer"][others], expected[others], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_logs_are_means_over_the_steps_that_measured(method):
    model = examples.compiled(method, options={"meta_every": 2}, run_eagerly=True)
    measured = []
    training_step = model.training_step

    def recorded(data):
        step = training_step(data)
        if step["is_measured"]:
            measured.append(float(step["meta_loss"]))
        return step

    model.training_step = recorded
    history = model.fit(X, Y, batch_size=6, meta_data=META, verbose=0).history
    assert len(measured) == 2
    assert history["meta_loss"][0] == pytest.approx(np.mean(measured), rel=1e-5)


@pytest.mark.parametrize("meta_every, error", [(0, ValueError), (1.5, TypeError)])
def test_so_many_steps_must_be_a_whole_number(meta_every, error):
    with pytest.raises(error, match="meta_every"):
        gdw_tf.GDW(examples.functional(), meta_every=meta_every)


class PartlyMoving(Experiment):
    """The virtual step moves the last layer alone: kernel and bias."""

    def logits_and_jacobian(self):
        logits, jacobian = super().logits_and_jacobian()
        return logits, [*(0.0 * rows for rows in jacobian[:-2]), *jacobian[-2:]]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("normalized", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("method", [gdw_tf.GDW, gdw_tf.MWNet])
def test_a_part_of_the_classifier_gives_the_slope_along_its_own_virtual_step(method, normalized):
    experiment = PartlyMoving(method, normalized=normalized)
    experiment.model.virtual_scope = "head"
    omega = first_stage(experiment, experiment.outer_weights)
    expected = slopes(lambda omega: experiment.meta_loss(omega * experiment.d1), omega)
    step = experiment.training_step()

    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(step["meta_gradient"], expected, rtol=1e-6, atol=1e-9)


def images():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, padding="same", name="early")(inputs)
    x = keras.layers.Conv2D(2, 3, 2, padding="same", name="late_1")(x)
    x = keras.layers.Conv2D(2, 3, padding="same", name="late_2")(x)
    x = keras.layers.Flatten()(x)
    body = keras.Model(inputs, keras.layers.Dense(3, name="last")(x))
    outer = keras.Input((8, 8, 1), dtype="uint8")
    return keras.Model(outer, body(keras.layers.Rescaling(1 / 255)(outer)))


@pytest.mark.parametrize(
    "scope, layers",
    [
        ("all", ["early", "late_1", "late_2", "last"]),
        ("last_stage", ["late_1", "late_2", "last"]),
        ("head", ["last"]),
        ("early|last", ["early", "last"]),
    ],
)
def test_parts_of_a_classifier_by_name(scope, layers):
    chosen = variables_in_scope(images(), scope)
    assert [v.path.split("/")[-2] for v in chosen] == [name for name in layers for _ in range(2)]


def test_the_head_is_a_layer_even_where_nested_models_have_layers_of_its_name():
    inputs = keras.Input((5,))
    body, head = (
        keras.Sequential([keras.Input((width,)), keras.layers.Dense(units, name="dense")])
        for width, units in ((5, 6), (6, 3))
    )
    classifier = keras.Model(inputs, head(body(inputs)))
    chosen = variables_in_scope(classifier, "head")
    assert [id(v) for v in chosen] == [id(v) for v in head.trainable_variables]


@pytest.mark.parametrize("scope", ["no_such_layer", "last_stage"])
def test_a_part_without_weights_is_an_error(scope):
    message = f"leaves no weights to move.*virtual_scope={scope}"
    with pytest.raises(ValueError, match=message):
        gdw_tf.GDW(examples.functional(), virtual_scope=scope)
    unbuilt = examples.compiled("gdw", examples.subclassed, options={"virtual_scope": scope})
    with pytest.raises(ValueError, match=message):
        unbuilt.fit(X, Y, meta_data=META, verbose=0)


@pytest.mark.parametrize("scope, error", [("(", ValueError), (3, TypeError)])
def test_a_scope_must_be_a_regular_expression(scope, error):
    with pytest.raises(error, match="virtual_scope"):
        gdw_tf.MWNet(examples.functional(), virtual_scope=scope)
