"""Keras callbacks of this library; all else that a run needs Keras brings itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class MetaEvaluation(keras.callbacks.Callback):
    """Evaluates the meta set after every epoch and logs `meta_<metric>` for the callbacks after it.

    Args:
        meta_data: a `tf.data.Dataset` of one pass of batches, or arrays `(x, y[, weights])`.

    Raises:
        ValueError: the data set has no end.
    """

    def __init__(self, meta_data: tf.data.Dataset | tuple[Any, ...]) -> None:
        super().__init__()
        if (
            isinstance(meta_data, tf.data.Dataset)
            and meta_data.cardinality() == tf.data.INFINITE_CARDINALITY
        ):
            raise ValueError(
                "meta_data must have an end to be evaluated. Received: a repeated tf.data.Dataset"
            )
        self.meta_data = meta_data

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the meta set's metrics to the epoch's logs."""
        data = self.meta_data if isinstance(self.meta_data, tuple) else (self.meta_data,)
        x, *rest = data
        results = self.model.evaluate(
            x,
            rest[0] if rest else None,
            sample_weight=rest[1] if len(rest) > 1 else None,
            verbose=0,
            return_dict=True,
        )
        logs.update({f"meta_{name}": value for name, value in results.items()})


class ReportProgress(keras.callbacks.Callback):
    """Tells at the start of every epoch how much of the training is done: epoch / epochs.

    `fit` has one of its own. Give it another where it is called for a part of the training only.

    Args:
        progress: the scalar variable to be set, 0 in the first epoch and below 1 in the last.
        epochs: epochs of the whole training; default those that `fit` is called for.
    """

    def __init__(self, progress: keras.Variable, epochs: int | None = None) -> None:
        super().__init__()
        self.progress = progress
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the variable."""
        self.progress.assign(epoch / (self.epochs or self.params["epochs"]))


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops training with an error as soon as one of the logs is not finite.

    Put it before the callbacks that save, so that no spoilt model is saved.

    Raises:
        FloatingPointError: names the epoch, the step, both counted from 1, and the quantity; for
            what is measured after an epoch, such as `val_loss`, the epoch's last step.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the metrics so far, which are running means: one bad step shows at once."""
        self._batch = batch
        self._check(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at what was measured after the epoch."""
        self._check(logs)

    def _check(self, logs: dict[str, Any] | None) -> None:
        for name, value in (logs or {}).items():
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {float(value)} in epoch {self._epoch + 1}, step {self._batch + 1}."
                )


class StepTimer(keras.callbacks.Callback):
    """Logs `seconds_per_step`: the epoch's training time, validation left out, over its steps."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start = self._last = time.perf_counter()
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the clock; `batch` is the last step taken, counted from 0."""
        self._last = time.perf_counter()
        self._steps = batch + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the time to the epoch's logs."""
        logs["seconds_per_step"] = (self._last - self._start) / max(self._steps, 1)


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole model after every epoch: the latest, and the best by one of the logs.

    A file is written aside and moved into place, so that what stands there is always whole.

    Args:
        latest: path of the latest checkpoint, ending in `.keras`.
        best: path of the best one.
        monitor: the log that the best one has highest.
        best_so_far: its highest value in earlier epochs of the run.
    """

    def __init__(
        self, *, latest: Path, best: Path, monitor: str, best_so_far: float = -np.inf
    ) -> None:
        super().__init__()
        self.latest = latest
        self.best = best
        self.monitor = monitor
        self.best_so_far = best_so_far

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        if logs[self.monitor] > self.best_so_far:
            self.best_so_far = logs[self.monitor]
            self._save(self.best)
        self._save(self.latest)

    def _save(self, path: Path) -> None:
        aside = path.with_name(f"{path.stem}.partial.keras")
        self.model.save(aside)
        os.replace(aside, path)
