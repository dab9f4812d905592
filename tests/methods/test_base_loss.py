"""Methods with another base loss than the cross-entropy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf import losses
from gdw_tf.callbacks import ReportProgress

from . import examples

COUNTS = [20, 9, 3]
Y = np.repeat(np.arange(3), COUNTS)
X = np.random.default_rng(0).normal(size=(len(Y), examples.FEATURES)).astype(np.float32)
X += 2 * np.eye(3, examples.FEATURES, dtype=np.float32)[Y]
META = examples.arrays(9, seed=1)

every_loss = pytest.mark.parametrize("name", losses.names())


def late(name: str) -> losses.SoftmaxLoss:
    """A loss; one that changes in the course of training does so in the second of two epochs."""
    return losses.LDAM(COUNTS, reweight_from=0.5) if name == "ldam" else losses.build(name, COUNTS)


def compiled(method: str, name: str, **arguments) -> gdw_tf.Method:
    options = {"base_loss": late(name)}
    return examples.compiled(method, options=options, run_eagerly=True, **arguments)


@every_loss
def test_plain_training_with_a_loss_is_that_of_keras_with_it(name):
    arguments = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    model = compiled("ce", name, optimizer=keras.optimizers.SGD(0.2))
    network = examples.compiled("ce").classifier
    loss = late(name)
    network.compile(keras.optimizers.SGD(0.2), loss, run_eagerly=True)
    progress = [] if loss.progress is None else [ReportProgress(loss.progress)]

    model.fit(X, Y, **arguments)
    network.fit(X, Y, callbacks=progress, **arguments)

    for one, two in zip(model.classifier.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_fit_tells_the_loss_how_much_of_the_training_is_done():
    loss, seen = losses.LDAM(COUNTS), []
    model = examples.compiled("gdw", options={"base_loss": loss})
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(loss.progress))
    )
    model.fit(X, Y, meta_data=META, epochs=4, callbacks=[spy], verbose=0)
    assert seen == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("method", ["gdw", "mw_net"])
@every_loss
def test_a_meta_method_learns_with_every_loss(method, name):
    model = compiled(method, name, optimizer=gdw_tf.CoupledSGD(0.2))
    history = model.fit(X, Y, meta_data=META, batch_size=16, epochs=3, verbose=0).history
    assert history["meta_loss"][-1] < history["meta_loss"][0]


@pytest.mark.parametrize("method", ["ce", "gdw"])
def test_a_model_is_saved_and_trained_on_with_its_loss(method, tmp_path):
    model = compiled(method, "ldam")
    arguments = {"meta_data": META, "batch_size": 16, "verbose": 0}
    model.fit(X, Y, epochs=2, **arguments)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")

    assert type(loaded.base_loss) is losses.LDAM
    assert loaded.base_loss.get_config() == model.base_loss.get_config()
    for each in (model, loaded):
        each.fit(X, Y, epochs=3, initial_epoch=2, **arguments)
        assert float(each.base_loss.progress) == pytest.approx(2 / 3)
    for one, two in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "loss",
    [losses.EarlyLearning(5, 3), keras.losses.MeanSquaredError(), "gce"],
    ids=["early learning", "of Keras", "name"],
)
def test_a_loss_of_another_form_is_no_base_loss(loss):
    with pytest.raises(TypeError, match="base_loss must be a softmax loss of gdw_tf.losses"):
        gdw_tf.GDW(examples.functional(), base_loss=loss)
