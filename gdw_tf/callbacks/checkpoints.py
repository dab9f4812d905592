"""Callbacks that save checkpoints, also within an epoch, and that go on from them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.callbacks.steps import steps_done
from gdw_tf.interruption import Interruption
from gdw_tf.metrics import build_metrics

if TYPE_CHECKING:  # which loads methods, and these call some of what is here
    from gdw_tf.checkpoints import CheckpointFolder


class RestoreMetrics(keras.callbacks.Callback):
    """Goes on with the metrics of an epoch that was broken off, in the first epoch of a `fit`.

    Args:
        values: as `metric_values` gave them.
        num_classes: C.
    """

    def __init__(self, values: Sequence[Any], num_classes: int) -> None:
        super().__init__()
        self.values = values
        self.num_classes = num_classes

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets the variables, once."""
        if not self.values:
            return
        if len(_metric_variables(self.model)) < len(self.values):
            build_metrics(self.model, tf.zeros((1,), tf.int64), self.num_classes)
        for variable, value in zip(_metric_variables(self.model), self.values, strict=True):
            variable.assign(value)
        self.values = ()


def metric_values(model: keras.Model) -> list[Any]:
    """The values of the variables of a model's metrics, as numbers and lists of numbers.

    Of several workers all must ask: each has a part.
    """
    return [np.asarray(variable).tolist() for variable in _metric_variables(model)]


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


class Checkpoints(keras.callbacks.Callback):
    """Saves checkpoints after every epoch and, if told so, within epochs.

    Put it last: what stands in the run's files then is what belongs to the checkpoint.

    Args:
        folder: where to save; `None` for a worker that does not write, but has its part in the
            metrics that the chief saves within an epoch.
        monitor: the log that the best checkpoint has highest.
        best_so_far: its highest value in earlier epochs of the run.
        every: steps after which there is a checkpoint, counted from the start of the run; default
            none within an epoch.
        minutes: minutes after which there is one; default none within an epoch.
        keep: how many of the latest are kept.
        run_files: files of the run of which every checkpoint has a copy.
        interruption: while `fit` is under way, a signal waits until the step is taken and saved.
        from_start: whether there is a checkpoint before the first step too, for `RollBack`.

    Raises:
        Interrupted: from `fit`, when that is done.
    """

    def __init__(
        self,
        folder: CheckpointFolder | None,
        *,
        monitor: str,
        best_so_far: float = -np.inf,
        every: int | None = None,
        minutes: float | None = None,
        keep: int = 2,
        run_files: Sequence[Path] = (),
        interruption: Interruption | None = None,
        from_start: bool = False,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.best_so_far = best_so_far
        self.every = every
        self.minutes = minutes
        self.keep = keep
        self.run_files = run_files
        self.interruption = interruption or Interruption()
        self.from_start = from_start

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """From now on there is something to save before the program stops."""
        self._saved_at = time.monotonic()
        self.interruption.deferred = True
        if self.from_start and self.folder is not None and self.folder.last_saved() is None:
            self._save(int(self.model.steps_taken.numpy()), 0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers where the epoch is begun."""
        self._epoch = epoch
        self._step = self._steps_before = int(self.model.steps_taken.numpy())
        self._evaluated = self._rollbacks()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, if it is time, unless the epoch is about to end."""
        done = steps_done(self, batch)
        if done == self.params["steps"]:
            return
        before, self._step = self._step, self._steps_before + done
        if self._is_due(before, self._step) or self.interruption.is_waiting:
            self._save(self._step, self._epoch, metrics=metric_values(self.model))
        self.interruption.check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Remembers the state that is evaluated, by how often training has gone back."""
        self._evaluated = self._rollbacks()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        # Where training has gone back since, the logs are those of another state.
        value = logs.get(self.monitor, -np.inf)  # validation may be left out in an epoch
        is_best = value > self.best_so_far and self._evaluated == self._rollbacks()
        if is_best:
            self.best_so_far = value
        self._save(int(self.model.steps_taken.numpy()), epoch + 1, is_best=is_best)
        self.interruption.check()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """From now on nothing is lost."""
        self.interruption.deferred = False
        self.interruption.check()

    def _rollbacks(self) -> int:
        count = getattr(self.model, "rollbacks", None)  # any Keras model may be saved
        return 0 if count is None else int(count.numpy())

    def _is_due(self, before: int, step: int) -> bool:
        if self.every is not None and before // self.every < step // self.every:
            return True
        since = time.monotonic() - self._saved_at
        return self.minutes is not None and since >= 60.0 * self.minutes

    def _save(self, step: int, epoch: int, **arguments: Any) -> None:
        if self.folder is not None:
            self.folder.save(
                self.model,
                step=step,
                epoch=epoch,
                run_files=self.run_files,
                keep=self.keep,
                **arguments,
            )
        self._saved_at = time.monotonic()
