from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples, resuming
from .examples import arrays

METHODS = list(gdw_tf.METHODS)
ONE_OF_A_KIND = ["gdw", "ce"]  # a meta method and a plain one

X, Y = arrays()
BATCH = (tf.constant(X[:16]), tf.constant(Y[:16]))
META = tf.data.Dataset.from_tensor_slices(arrays(9, seed=1)).batch(9)


def fitted(
    method: str, callbacks: list[keras.callbacks.Callback], epochs: int = 3, **arguments: Any
) -> gdw_tf.Method:
    model = examples.compiled(method, run_eagerly=True, **arguments)
    fit(model, callbacks, epochs)
    return model


def fit(model: gdw_tf.Method, callbacks: list[keras.callbacks.Callback], epochs: int) -> None:
    model.fit(
        X,
        Y,
        batch_size=16,
        shuffle=False,
        meta_data=META,
        validation_data=META,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    )


class Remember(keras.callbacks.Callback):
    """Keeps the logs, the rates and the classifier's weights of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []
        self.weights: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.logs.append(dict(logs))
        self.weights.append(self.model.classifier.get_weights())


class Replace(keras.callbacks.Callback):
    """Puts other numbers into the logs, for the callbacks after it."""

    def __init__(self, name: str, values: list[float]) -> None:
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        assert self.name in logs
        logs[self.name] = self.values[epoch]


class Interrupt(keras.callbacks.Callback):
    """Breaks off in the middle of the second epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == 3:
            raise KeyboardInterrupt


def assert_weights(model: keras.Model, expected: list[np.ndarray]) -> None:
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("method", "monitor"),
    [("gdw", "val_accuracy"), ("mw_net", "meta_accuracy"), ("ce", "meta_accuracy")],
)
def test_model_checkpoint_keeps_the_best_whole_model(tmp_path, method, monitor):
    path, memory = tmp_path / "best.keras", Remember()
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor=monitor, mode="max", save_best_only=True
    )
    fitted(method, [Replace(monitor, [0.2, 0.9, 0.4]), memory, checkpoint])
    loaded = keras.models.load_model(path)
    assert_weights(loaded.classifier, memory.weights[1])
    assert int(loaded.optimizer.iterations) == 4


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_model_checkpoint_keeps_the_weights_alone(tmp_path, method):
    path, memory = str(tmp_path / "{epoch}.weights.h5"), Remember()
    fitted(method, [memory, keras.callbacks.ModelCheckpoint(path, save_weights_only=True)], 2)
    model = examples.compiled(method, seed=8)
    model.build_optimizers()
    model.load_weights(path.format(epoch=1))
    assert_weights(model.classifier, memory.weights[0])


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_a_run_that_was_broken_off_ends_as_an_undisturbed_one(tmp_path, method):
    def run(*callbacks: keras.callbacks.Callback) -> gdw_tf.Method:
        model = examples.compiled(
            method, lambda: examples.functional(dropout=0.3), run_eagerly=True
        )
        meta = arrays(9, seed=1)
        arguments = {"batch_size": 16, "epochs": 3, "verbose": 0}
        model.fit(X, Y, meta_data=meta, callbacks=list(callbacks), **arguments)
        return model

    undisturbed = run()
    backup, memory = str(tmp_path / "backup"), Remember()
    with pytest.raises(KeyboardInterrupt):
        run(keras.callbacks.BackupAndRestore(backup), Interrupt())
    model = run(keras.callbacks.BackupAndRestore(backup), memory)

    assert len(memory.logs) == 2
    expected = resuming.state(undisturbed)
    for name, value in resuming.state(model).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_backup_and_restore_takes_a_classifier_without_weights(tmp_path):
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    fitted("gdw", [backup], 1, classifier=examples.subclassed)


@pytest.mark.parametrize("method", ["gdw", "mw_net", "ce", "co_teaching", "glc"])
def test_early_stopping_restores_the_best_epoch_by_the_meta_set(method):
    memory = Remember()
    stop = keras.callbacks.EarlyStopping(
        monitor="meta_accuracy", mode="max", patience=1, restore_best_weights=True
    )
    model = fitted(method, [Replace("meta_accuracy", [0.9, 0.8, 0.95]), memory, stop])
    assert len(memory.logs) == 2
    assert_weights(model.classifier, memory.weights[0])


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_logs_are_written_by_csv_logger_and_tensorboard(tmp_path, method):
    memory, file = Remember(), tmp_path / "log.csv"
    boards = keras.callbacks.TensorBoard(str(tmp_path / "boards"))
    model = fitted(method, [keras.callbacks.CSVLogger(str(file)), memory, boards], 2)
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert set(rows[0]) == {"epoch", *model.history.history}
    assert [float(row["meta_loss"]) for row in rows] == pytest.approx(
        [logs["meta_loss"] for logs in memory.logs]
    )
    written = {path.parent.name for path in Path(tmp_path / "boards").rglob("events*")}
    assert written == {"train", "validation"}


@pytest.mark.parametrize("method", ["gdw", "mw_net"])
def test_the_virtual_rate_follows_a_scheduler(method):
    rates: list[float] = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            rates.append(float(self.model.current_virtual_lr()))

    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / 2**epoch)
    model = fitted(method, [scheduler, Spy()])
    assert rates == [0.5, 0.25, 0.125]
    batches = BATCH, next(iter(META))
    assert float(model.training_step(batches)["virtual_lr"]) == 0.125


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_the_rate_is_reduced_on_a_plateau_of_the_meta_loss(method):
    reduce = keras.callbacks.ReduceLROnPlateau(
        monitor="meta_loss", mode="min", factor=0.5, patience=1
    )
    model = fitted(method, [Replace("meta_loss", [1.0, 2.0, 0.5]), reduce])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert model.history.history["learning_rate"] == pytest.approx([0.1, 0.1, 0.05])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "clean_only"])
def test_terminate_on_nan_comes_after_the_stop_of_fit(method):
    model = examples.compiled(method, run_eagerly=True)
    spoilt = model.classifier.trainable_variables[-1]

    def spoil(batch, logs):
        if batch == 2:
            spoilt.assign(np.nan * spoilt)

    callbacks = [
        keras.callbacks.LambdaCallback(on_train_batch_begin=spoil),
        keras.callbacks.TerminateOnNaN(),
    ]
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    with pytest.raises(FloatingPointError, match="epoch 1, step 3: loss"):
        model.fit(X, Y, meta_data=META, epochs=3, callbacks=callbacks, **arguments)
    assert int(model.optimizer.iterations) == 3
