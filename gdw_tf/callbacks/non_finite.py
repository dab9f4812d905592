"""What becomes of a training whose steps are not finite: a callback for each policy.

How such steps are found, and undone, is in `gdw_tf.finite` and `gdw_tf.methods.watched`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from gdw_tf.callbacks.steps import steps_done
from gdw_tf.checks import check_integer


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
        self._batch = self._first_step + steps_done(self, batch) - 1
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
    folder = CheckpointFolder(Path("checkpoints"))
    folder.create()
    model.fit(
        train_ds,
        meta_data=meta_ds,
        validation_data=validation_ds,
        callbacks=[
            gdw_tf.callbacks.RollBack(lambda: model.load_weights(folder.latest().model)),
            gdw_tf.callbacks.Checkpoints(folder, monitor="val_accuracy", from_start=True),
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
