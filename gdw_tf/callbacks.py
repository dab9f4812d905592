"""Keras callbacks of this library; all else that a run needs Keras brings itself."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from gdw_tf.checks import check_integer
from gdw_tf.interruption import Interruption

if TYPE_CHECKING:  # which loads methods, and these call some of what is here
    from gdw_tf.checkpoints import CheckpointFolder


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


class NonFiniteWatch(keras.callbacks.Callback):
    """Base class of what is done when the steps of a `gdw_tf.Method` are not finite.

    `fit` has one by itself, before the callbacks that it is given; see `Method.compile`. One that
    is given takes its place, and should come before the callbacks that save.

    Args:
        first_step: the step of the epoch that `fit` begins with, counted from 0, where it is called
            for the rest of an epoch.
    """

    def __init__(self, first_step: int = 0) -> None:
        super().__init__()
        self._next_first_step = first_step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch, and where in it `fit` begins."""
        self._epoch = epoch
        self._first_step, self._next_first_step = self._next_first_step, 0
        self._batch = self._first_step - 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks whether a step since the last look was not finite."""
        self._batch = self._first_step + batch
        report = self.model.take_report()
        if report is not None:
            step, quantity = report
            steps_ago = int(self.model.steps_taken.numpy()) - step
            self.act(self._message(self._batch - steps_ago, quantity))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the losses that were measured after the epoch's last step."""
        for name, value in (logs or {}).items():
            if name.endswith("loss") and not np.isfinite(value):
                self.act(self._message(self._batch, name))
                return

    def act(self, message: str) -> None:
        """Does what is to be done; `message` says what was not finite, in which epoch and step."""
        raise NotImplementedError(f"{type(self).__name__} must define act.")

    def _message(self, batch: int, quantity: str) -> str:
        return f"Not finite in epoch {self._epoch + 1}, step {batch + 1}: {quantity}."


class StopOnNonFinite(NonFiniteWatch):
    """Stops training with an error where a step, or a loss measured after an epoch, is not finite.

    Raises:
        FloatingPointError: names the epoch, the step, both counted from 1, and the quantity; for
            what is measured after an epoch, such as `val_loss`, the epoch's last step.
    """

    def act(self, message: str) -> None:
        """Stops."""
        raise FloatingPointError(message)


class CountSkippedSteps(NonFiniteWatch):
    """Warns of the first step of an epoch that was skipped, and logs `non_finite_steps` so far.

    Raises:
        FloatingPointError: all steps of a whole epoch were skipped.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers how many steps there were."""
        super().on_epoch_begin(epoch, logs)
        self._first: str | None = None
        self._before = self._counts()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the number; what the model answers after an epoch changes no state."""
        steps, skipped = self._counts()
        is_whole = not self._first_step
        if is_whole and 0 < steps - self._before[0] == skipped - self._before[1]:
            raise FloatingPointError(f"{self._first} No step of the epoch was finite.")
        logs["non_finite_steps"] = skipped

    def act(self, message: str) -> None:
        """Warns once an epoch."""
        if self._first is None:
            self._first = message
            warnings.warn(f"{message} The step is skipped.", stacklevel=2)

    def _counts(self) -> tuple[int, int]:
        return int(self.model.steps_taken.numpy()), int(self.model.non_finite_steps.numpy())


class RollBack(NonFiniteWatch):
    """Goes back to the last checkpoint where a step is not finite, and on with half the rate.

    The whole state is that of the checkpoint again: networks, optimizers, memories. The batches
    since then are not seen again, so that one which spoils every state is left behind; the
    epoch's metrics are of the steps after it. With every time that training goes back, the
    learning rate is half of what it would be, in the epochs that follow too. `non_finite_steps` and
    `rollbacks` so far are logged.

    ```python
    model.fit(
        train_ds,
        meta_data=meta_ds,
        callbacks=[
            gdw_tf.callbacks.RollBack(lambda: model.load_weights("latest.keras")),
            keras.callbacks.ModelCheckpoint("latest.keras"),
        ],
    )
    ```

    Put it behind the callbacks that set the learning rate and before those that save.

    Args:
        load: puts the last checkpoint's state into the model.
        times: how often the model, over all its trainings, goes back, at least 1; default 3.
        first_step: as in `NonFiniteWatch`.

    Raises:
        TypeError: `times` is not an integer.
        ValueError: `times` is less than 1; the optimizer's rate is a schedule of its own, which
            cannot be halved.
        FloatingPointError: it went back as often already.
    """

    def __init__(self, load: Callable[[], None], *, times: int = 3, first_step: int = 0) -> None:
        super().__init__(first_step)
        self.load = load
        self.times = check_integer("times", times, 1)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks whether the rate can be set."""
        inner = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError(
                "RollBack halves the learning rate, which must be a number. Received: "
                f"{type(inner._learning_rate).__name__}"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lowers the epoch's rate."""
        super().on_epoch_begin(epoch, logs)
        self._multiply_rate(0.5 ** int(self.model.rollbacks.numpy()))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the numbers, and lets the rate be what it would be, for who reads or saves it."""
        super().on_epoch_end(epoch, logs)
        rollbacks = int(self.model.rollbacks.numpy())
        logs["non_finite_steps"] = int(self.model.non_finite_steps.numpy())
        logs["rollbacks"] = rollbacks
        self._multiply_rate(2.0**rollbacks)

    def act(self, message: str) -> None:
        """Goes back."""
        model = self.model
        rollbacks = int(model.rollbacks.numpy())
        if rollbacks >= self.times:
            raise FloatingPointError(f"{message} Training went back {rollbacks} times already.")
        going_on = [model.steps_taken, model.non_finite_steps, model.optimizer.learning_rate]
        values = [variable.numpy() for variable in going_on]
        with model.distribute_strategy.scope():
            self.load()
            for variable, value in zip(going_on, values, strict=True):
                variable.assign(value)
            model.rollbacks.assign(rollbacks + 1)
        self._multiply_rate(0.5)
        model.reset_metrics()
        warnings.warn(
            f"{message} Training goes on from the last checkpoint with half the rate, "
            f"{rollbacks + 1} of {self.times} times.",
            stacklevel=2,
        )

    def _multiply_rate(self, factor: float) -> None:
        rate = self.model.optimizer.learning_rate
        rate.assign(factor * rate.numpy())


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


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's callback of epochs, whose events are in their files when an epoch has ended."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs nothing: what Keras makes of a step has no writer, and takes 4 kB for good."""
        super().on_train_batch_end(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the epoch."""
        super().on_epoch_end(epoch, logs)
        for writer in self._writers.values():  # Keras's; it flushes at the end of training only
            writer.flush()


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
            # Keras makes them with the first batch; any batch will do.
            labels, logits = tf.zeros((1,), tf.int64), tf.zeros((1, self.num_classes))
            self.model.compute_metrics(None, labels, logits)
            self.model.reset_metrics()
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
        self._steps_before = int(self.model.steps_taken.numpy())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, if it is time, unless the epoch is about to end."""
        if batch + 1 == self.params["steps"]:
            return
        step = self._steps_before + batch + 1
        if self._is_due(step) or self.interruption.is_waiting:
            self._save(step, self._epoch, metrics=metric_values(self.model))
        self.interruption.check()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        is_best = logs[self.monitor] > self.best_so_far
        if is_best:
            self.best_so_far = logs[self.monitor]
        self._save(int(self.model.steps_taken.numpy()), epoch + 1, is_best=is_best)
        self.interruption.check()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """From now on nothing is lost."""
        self.interruption.deferred = False
        self.interruption.check()

    def _is_due(self, step: int) -> bool:
        if self.every is not None and step % self.every == 0:
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
