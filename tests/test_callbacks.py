from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.callbacks import (
    Checkpoints,
    MetaEvaluation,
    ReportProgress,
    StepTimer,
    StopOnNonFinite,
)

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(12, 4)).astype(np.float32), np.arange(12) % 3
META = GENERATOR.normal(size=(6, 4)).astype(np.float32), np.arange(6) % 3


def make_model() -> gdw_tf.CE:
    keras.utils.set_random_seed(0)
    model = gdw_tf.CE(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    model.compile(metrics=["accuracy"], run_eagerly=True)
    return model


class Logs(keras.callbacks.Callback):
    """Sets one of the logs to the value of the epoch."""

    def __init__(self, **values: list[float]) -> None:
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs.update({name: values[epoch] for name, values in self.values.items()})


# MetaEvaluation.


@pytest.mark.parametrize("as_data_set", [False, True], ids=["arrays", "a data set"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_the_meta_set_is_evaluated_after_the_epoch(as_data_set, weighted):
    weight = np.linspace(0, 2, 6).astype(np.float32)
    data = (*META, weight) if weighted else META
    given = tf.data.Dataset.from_tensor_slices(data).batch(4) if as_data_set else data
    model = make_model()
    history = model.fit(X, Y, callbacks=[MetaEvaluation(given)], verbose=0).history

    logits = model.predict(META[0], verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), META[1]]
    expected = np.mean(losses * weight if weighted else losses)
    assert history["meta_loss"] == [pytest.approx(expected, rel=1e-5)]
    right = logits.argmax(axis=1) == META[1]
    assert history["meta_accuracy"] == [pytest.approx(right.mean())]


def test_callbacks_after_the_meta_evaluation_see_its_results():
    stop = keras.callbacks.EarlyStopping(monitor="meta_loss", mode="max", patience=0)
    model = make_model()
    model.fit(X, Y, epochs=5, callbacks=[MetaEvaluation(META), stop], verbose=0)
    losses = model.history.history["meta_loss"]
    assert stop.best == max(losses)


# ReportProgress.


def test_a_part_of_a_training_tells_its_share_of_the_whole():
    model, seen = make_model(), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(float(model.progress.numpy()))
    )
    for first in (0, 2):
        whole = ReportProgress(model.progress, epochs=4)
        model.fit(X, Y, initial_epoch=first, epochs=first + 2, callbacks=[whole, note], verbose=0)
    assert seen == [0.0, 0.25, 0.5, 0.75]


# StopOnNonFinite.


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_training_stops_in_the_step_that_is_not_finite(value):
    x = X.copy()
    x[9] = value
    model = make_model()
    data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(4)
    with pytest.raises(FloatingPointError, match=r"^loss is (nan|inf) in epoch 1, step 3\.$"):
        model.fit(data, callbacks=[StopOnNonFinite()], verbose=0)


def test_the_epoch_is_named_too():
    stop = StopOnNonFinite()
    stop.on_epoch_begin(4)
    stop.on_train_batch_end(0, {"loss": 1.0, "meta_loss": 2.0})
    with pytest.raises(FloatingPointError, match=r"^meta_loss is inf in epoch 5, step 8\.$"):
        stop.on_train_batch_end(7, {"loss": 1.0, "meta_loss": float("inf")})


def test_finite_training_goes_on():
    model = make_model()
    model.fit(X, Y, epochs=2, callbacks=[StopOnNonFinite()], verbose=0)
    assert len(model.history.history["loss"]) == 2


# StepTimer.


def test_the_time_of_a_step_leaves_out_what_follows_the_last_one(monkeypatch):
    clock = iter([100.0, 101.0, 103.0, 109.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer, logs = StepTimer(), {}
    timer.on_epoch_begin(0)
    for step in range(3):
        timer.on_train_batch_end(step)
    timer.on_epoch_end(0, logs)
    assert logs == {"seconds_per_step": pytest.approx(3.0)}


def test_steps_that_are_executed_together_are_all_counted(monkeypatch):
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer, logs = StepTimer(), {}
    timer.on_epoch_begin(0)
    timer.on_train_batch_end(4)  # Keras names the last step of an execution
    timer.on_train_batch_end(9)
    timer.on_epoch_end(0, logs)
    assert logs == {"seconds_per_step": pytest.approx(2.0)}


def test_the_time_is_logged():
    model = make_model()
    model.fit(X, Y, callbacks=[StepTimer()], verbose=0)
    assert model.history.history["seconds_per_step"][0] > 0


# Checkpoints.


def iterations(path: Path) -> int:
    return int(keras.models.load_model(path).optimizer.iterations)


def test_the_latest_and_the_best_model_are_kept(tmp_path):
    latest, best = tmp_path / "latest.keras", tmp_path / "best.keras"
    checkpoints = Checkpoints(latest=latest, best=best, monitor="score")
    model = make_model()
    scores = Logs(score=[0.3, 0.5, 0.5])
    model.fit(X, Y, epochs=3, callbacks=[scores, checkpoints], verbose=0)
    assert iterations(latest) == 3
    assert iterations(best) == 2
    assert checkpoints.best_so_far == 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.keras", "latest.keras"]


def test_the_best_of_earlier_epochs_is_not_replaced_by_a_worse(tmp_path):
    latest, best = tmp_path / "latest.keras", tmp_path / "best.keras"
    checkpoints = Checkpoints(latest=latest, best=best, monitor="score", best_so_far=0.9)
    callbacks = [Logs(score=[0.3]), checkpoints]
    make_model().fit(X, Y, callbacks=callbacks, verbose=0)
    assert latest.exists()
    assert not best.exists()


def test_a_save_that_is_interrupted_leaves_the_old_file(tmp_path, monkeypatch):
    latest, best = tmp_path / "latest.keras", tmp_path / "best.keras"
    checkpoints = Checkpoints(latest=latest, best=best, monitor="score")
    model = make_model()
    model.fit(X, Y, callbacks=[Logs(score=[0.1]), checkpoints], verbose=0)
    before = latest.read_bytes()

    def broken(self: keras.Model, path: Path) -> None:
        Path(path).write_bytes(b"half a mod")
        raise OSError("no space left")

    monkeypatch.setattr(gdw_tf.CE, "save", broken)
    with pytest.raises(OSError, match="no space"):
        model.fit(X, Y, callbacks=[Logs(score=[0.2]), checkpoints], verbose=0)
    assert latest.read_bytes() == before
    assert iterations(latest) == iterations(best) == 1
