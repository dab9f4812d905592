from __future__ import annotations

import json
import os
import signal
import time
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.callbacks import (
    Checkpoints,
    EpochLog,
    MetaEvaluation,
    ReportProgress,
    RestoreMetrics,
    StepTimer,
    StopOnNonFinite,
    TensorBoard,
    metric_values,
)
from gdw_tf.checkpoints import Checkpoint, CheckpointFolder
from gdw_tf.interruption import Interrupted, Interruption

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


# EpochLog.


def test_a_table_of_epochs_goes_on_with_its_columns_whatever_is_logged(tmp_path):
    path = tmp_path / "metrics.csv"
    for epoch, counted in ((0, {}), (1, {"a_count": [7.0, 7.0]}), (2, {})):
        make_model().fit(
            X,
            Y,
            epochs=epoch + 1,
            initial_epoch=epoch,
            verbose=0,
            callbacks=[
                Logs(
                    val_accuracy=[0.1, 0.2, 0.3], **{key: [0, *one] for key, one in counted.items()}
                ),
                EpochLog(path),
            ],
        )
    header, *lines = path.read_text().splitlines()
    assert header.split(",")[0] == "epoch" and "a_count" not in header
    accuracy = header.split(",").index("val_accuracy")
    assert [line.split(",")[accuracy] for line in lines] == ["0.1", "0.2", "0.3"]


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
    with pytest.raises(FloatingPointError, match=r"^Not finite in epoch 1, step 3: loss\.$"):
        model.fit(data, callbacks=[StopOnNonFinite()], verbose=0)


def test_the_epoch_is_named_too():
    stop, model = StopOnNonFinite(), make_model()
    stop.set_model(model)
    stop.on_epoch_begin(4)
    stop.on_train_batch_end(7)
    stop.on_epoch_end(4, {"loss": 1.0, "meta_loss": 2.0, "of_a_user": float("nan")})
    with pytest.raises(FloatingPointError, match=r"^Not finite in epoch 5, step 8: meta_loss\.$"):
        stop.on_epoch_end(4, {"loss": 1.0, "meta_loss": float("inf")})


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


def test_steps_beyond_the_end_of_an_epoch_are_not_counted(monkeypatch):
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer, logs = StepTimer(), {}
    timer.set_params({"steps": 8})
    timer.on_epoch_begin(0)
    timer.on_train_batch_end(4)
    timer.on_train_batch_end(9)
    timer.on_epoch_end(0, logs)
    assert logs == {"seconds_per_step": pytest.approx(2.5)}


def test_the_time_is_logged():
    model = make_model()
    model.fit(X, Y, callbacks=[StepTimer()], verbose=0)
    assert model.history.history["seconds_per_step"][0] > 0


def test_the_steps_of_the_rest_of_an_epoch_are_those_of_the_epoch():
    x = X.copy()
    x[9] = np.nan
    data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(4)
    with pytest.raises(FloatingPointError, match=r"in epoch 2, step 8: loss\.$"):
        make_model().fit(
            data,
            initial_epoch=1,
            epochs=2,
            callbacks=[StopOnNonFinite(first_step=5)],
            verbose=0,
        )


# TensorBoard.


def test_events_of_an_epoch_are_there_when_it_has_ended(tmp_path):
    seen = []

    def look(epoch, logs):
        events = [
            value.tag
            for path in tmp_path.rglob("events*")
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        ]
        seen.append(events.count("epoch_loss"))

    note = keras.callbacks.LambdaCallback(on_epoch_begin=look)
    board = TensorBoard(str(tmp_path), write_graph=False)
    make_model().fit(X, Y, epochs=3, validation_data=META, callbacks=[board, note], verbose=0)
    assert seen == [0, 2, 4]  # of training and validation


# RestoreMetrics.


def test_the_rest_of_an_epoch_logs_the_metrics_of_the_whole(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    whole = make_model()
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(metric_values(whole))
    )
    whole.fit(data, callbacks=[note], epochs=2, verbose=0)

    model = make_model()
    model.fit(data.take(4), verbose=0)
    model.save(tmp_path / "model.keras")
    rest = keras.models.load_model(tmp_path / "model.keras")  # which has measured nothing yet
    restore = RestoreMetrics(json.loads(json.dumps(seen[3])), num_classes=3)
    history = rest.fit(data.skip(4), callbacks=[restore], verbose=0).history
    assert history["accuracy"][0] == whole.history.history["accuracy"][0]
    assert history["loss"][0] == pytest.approx(whole.history.history["loss"][0], rel=1e-6)
    before = metric_values(rest)
    rest.fit(data.take(1), callbacks=[restore], verbose=0)  # only once
    assert np.sum(before[1]) > np.sum(metric_values(rest)[1])


# Checkpoints.


def checkpoints_of(folder: CheckpointFolder) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in sorted(folder.root.glob("step-*"))]


def iterations(checkpoint: Checkpoint) -> int:
    return int(checkpoint.load().optimizer.iterations)


@pytest.fixture
def folder(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.create()
    return folder


def test_the_latest_and_the_best_model_are_kept(folder):
    checkpoints = Checkpoints(folder, monitor="score", keep=1)
    scores = Logs(score=[0.3, 0.5, 0.5])
    make_model().fit(X, Y, epochs=3, callbacks=[scores, checkpoints], verbose=0)
    assert iterations(folder.latest()) == folder.latest().step == 3
    assert iterations(folder.best()) == folder.best().step == 2
    assert checkpoints_of(folder) == [2, 3]
    assert checkpoints.best_so_far == 0.5


def test_the_best_of_earlier_epochs_is_not_replaced_by_a_worse(folder):
    checkpoints = Checkpoints(folder, monitor="score", best_so_far=0.9)
    make_model().fit(X, Y, callbacks=[Logs(score=[0.3]), checkpoints], verbose=0)
    assert folder.latest().step == 1
    assert folder.best() is None


def test_there_are_checkpoints_within_an_epoch(folder):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)  # six steps
    checkpoints = Checkpoints(folder, monitor="score", every=4, keep=9)
    make_model().fit(data, epochs=2, callbacks=[Logs(score=[0.3, 0.2]), checkpoints], verbose=0)
    assert checkpoints_of(folder) == [4, 6, 8, 12]
    assert folder.latest().metrics() == []  # between epochs
    epochs = json.loads((folder.root / "manifest.json").read_text())["checkpoints"]
    assert [one["epoch"] for one in epochs] == [0, 1, 1, 2]


def test_an_epoch_without_the_monitored_log_is_saved_and_not_the_best(folder):
    checkpoints = Checkpoints(folder, monitor="val_accuracy", keep=9)
    make_model().fit(
        *(X, Y),
        epochs=2,
        validation_data=META,
        validation_freq=2,
        callbacks=[checkpoints],
        verbose=0,
    )
    assert checkpoints_of(folder) == [1, 2]
    assert folder.best().step == 2


@pytest.mark.parametrize(
    ("together", "every", "saved"),
    [(2, 5, [6, 10, 12]), (8, 1, [8, 12])],  # of twelve steps; the second goes beyond the end
)
def test_steps_that_are_executed_together_are_saved_when_one_of_them_is_due(
    together, every, saved, folder
):
    model = make_model()
    model.compile(steps_per_execution=together)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(1)
    checkpoints = Checkpoints(folder, monitor="score", every=every, keep=9)
    model.fit(data, callbacks=[Logs(score=[0.3]), checkpoints], verbose=0)
    assert checkpoints_of(folder) == saved


def test_there_is_a_checkpoint_when_the_time_has_come(folder, monkeypatch):
    now = 0.0

    def pass_time(batch, logs):
        nonlocal now
        now += 25.0

    clock = types.SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("gdw_tf.callbacks.checkpoints.time", clock)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)  # six steps
    steps = keras.callbacks.LambdaCallback(on_train_batch_begin=pass_time)
    checkpoints = Checkpoints(folder, monitor="score", minutes=1.0, keep=9)
    make_model().fit(data, callbacks=[steps, Logs(score=[0.3]), checkpoints], verbose=0)
    assert checkpoints_of(folder) == [3, 6]  # at 75 seconds, and at the end of the epoch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_until_the_step_is_saved(number, folder):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    send = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: os.kill(os.getpid(), number) if batch == 2 else 0
    )
    model = make_model()
    with Interruption() as interruption, pytest.raises(Interrupted) as stop:
        checkpoints = Checkpoints(folder, monitor="score", interruption=interruption)
        model.fit(data, callbacks=[send, Logs(score=[0.3]), checkpoints], verbose=0)
    assert stop.value.signal == number
    assert folder.latest().step == int(model.steps_taken) == 3
    assert len(folder.latest().metrics()) == len(metric_values(model)) > 0


def test_a_worker_that_does_not_write_leaves_nothing(tmp_path):
    checkpoints = Checkpoints(None, monitor="score", every=1)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    make_model().fit(data, callbacks=[Logs(score=[0.3]), checkpoints], verbose=0)
    assert not list(tmp_path.iterdir())


def test_a_save_that_is_interrupted_leaves_the_old_checkpoint(folder, monkeypatch):
    checkpoints = Checkpoints(folder, monitor="score")
    model = make_model()
    model.fit(X, Y, callbacks=[Logs(score=[0.1]), checkpoints], verbose=0)
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}

    def broken(self: keras.Model, path: Path) -> None:
        Path(path).write_bytes(b"half a mod")
        raise OSError("no space left")

    monkeypatch.setattr(gdw_tf.CE, "save", broken)
    with pytest.raises(OSError, match="no space"):
        model.fit(X, Y, callbacks=[Logs(score=[0.2]), checkpoints], verbose=0)
    after = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    assert before == after
    assert iterations(folder.latest()) == iterations(folder.best()) == 1
