"""Callbacks that add to the logs of an epoch."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from gdw_tf.callbacks.steps import steps_done
from gdw_tf.fit_data import check_has_end


class EpochLog(keras.callbacks.CSVLogger):
    """Keras's table of the epochs, which goes on with the columns that it has.

    A run may go on with other callbacks than it began with, whose logs have no column. Keras would
    leave them to shift the others.

    Args:
        path: the file, CSV.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), append=True)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the file. What has no column is left out, what is not logged is `NA`."""
        super().on_train_begin(logs)
        with open(self.filename, newline="") as file:
            columns = next(csv.reader(file), None)
        if columns is not None:
            self.keys = columns[1:]


class MetaEvaluation(keras.callbacks.Callback):
    """Evaluates the meta set after every epoch and logs `meta_<metric>` for the callbacks after it.

    Args:
        meta_data: a `tf.data.Dataset` of one pass of batches, or arrays `(x, y[, weights])`.
        callbacks: those of `fit`; one of them that swaps averaged weights in for an evaluation does
            so for this one, too.

    Raises:
        ValueError: the data set has no end.
    """

    def __init__(
        self,
        meta_data: tf.data.Dataset | tuple[Any, ...],
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        check_has_end(meta_data, "meta_data")
        self.meta_data = meta_data
        self.swaps = [one for one in callbacks if isinstance(one, keras.callbacks.SwapEMAWeights)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the meta set's metrics to the epoch's logs."""
        data = self.meta_data if isinstance(self.meta_data, tuple) else (self.meta_data,)
        x, *rest = data
        results = self.model.evaluate(
            x,
            rest[0] if rest else None,
            sample_weight=rest[1] if len(rest) > 1 else None,
            verbose=0,
            # A list would be told that it is another training's.
            callbacks=keras.callbacks.CallbackList(self.swaps, model=self.model, **self.params),
            return_dict=True,
        )
        logs.update({f"meta_{name}": value for name, value in results.items()})


class StepTimer(keras.callbacks.Callback):
    """Logs `seconds_per_step`: the epoch's training time, validation left out, over its steps."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start = self._last = time.perf_counter()
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the clock; `batch` is the last step taken, counted from 0."""
        self._last = time.perf_counter()
        self._steps = steps_done(self, batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the time to the epoch's logs."""
        logs["seconds_per_step"] = (self._last - self._start) / max(self._steps, 1)
