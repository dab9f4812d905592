"""Steps that are not finite: noted in the step, reported to callbacks, and undone where told so.

`gdw_tf.finite` says how they are found, `gdw_tf.callbacks.non_finite` what becomes of the training.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf import finite
from gdw_tf.batch import Batch, training_batch
from gdw_tf.callbacks import CountSkippedSteps, NonFiniteWatch, RollBack, StopOnNonFinite
from gdw_tf.methods.recorded import RecordedModel


class WatchedModel(RecordedModel):
    """Base class of models that watch their steps.

    Attributes:
        steps_taken: training steps taken so far, skipped ones too, a scalar variable, saved with
            the model.
        non_finite_steps: how many of them were not finite, a scalar variable, saved with the model.
        rollbacks: how often a training went back to a checkpoint, a scalar variable, saved with the
            model; see `gdw_tf.callbacks.RollBack`.
        on_non_finite: what becomes of a step that is not finite, `"stop"` or `"skip"`.
    """

    counters = ("steps_taken", "non_finite_steps", "rollbacks")
    kept_by_undone_steps: tuple[str, ...] = (
        *counters,
        "first_non_finite",
        "example_memory",
        "example_record",
    )
    quantities: tuple[str, ...] = ("loss", "gradient", "weights")
    on_non_finite = "stop"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # The first step that was not finite since the last report, and its quantity; 0 for none.
        self.first_non_finite = self.add_counter("first_non_finite", shape=(2,))

    def step_and_logs(
        self, data: tuple[Any, Any]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Takes a training step and updates the metrics.

        Returns:
            What the step returns, `non_finite` among it: for each of `quantities` on how many
            replicas it is not finite, (Q,), float32; and the logs.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step_and_logs.")

    def train_step(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """Takes one training step and updates the metrics; called by `fit`."""
        batch = training_batch(data)
        if self.on_non_finite != "skip":
            step, logs = self.step_and_logs(data)
            self._note_and_record(batch, step)
            return logs
        state = self._state()
        before = finite.values(state)
        memory = None if self.example_memory is None else self.read_memory(batch)
        step, logs = self.step_and_logs(data)
        is_finite = self._note_and_record(batch, step)
        finite.restore_unless(is_finite, state, before)
        if memory is not None:
            self.write_memory(batch, tf.where(is_finite, self.read_memory(batch), memory))
        return self.metrics_as_logs()

    def _note_and_record(self, batch: Batch, step: dict[str, tf.Tensor]) -> tf.Tensor:
        """Notes a step, records it if it is finite, and answers whether it is, a scalar."""
        is_finite = self._note(step["non_finite"])
        if self.record_examples and batch.index is not None:  # a meta batch has none
            self.record_step(batch, step, is_finite)
        return is_finite

    def _note(self, non_finite: tf.Tensor) -> tf.Tensor:
        """Notes a step of these quantities (Q,), and answers whether it is finite, a scalar."""
        is_finite = tf.reduce_sum(non_finite) == 0.0
        self.non_finite_steps.assign_add(tf.cast(~is_finite, tf.int64))
        noted = self.first_non_finite.value
        this = tf.stack([self.steps_taken.value, tf.argmax(non_finite > 0.0)])
        self.first_non_finite.assign(tf.where(is_finite | (noted[0] > 0), noted, this))
        return is_finite

    def _state(self) -> list[keras.Variable]:
        """All variables that a step that is undone leaves as they were, metrics included."""
        kept = {id(getattr(self, name)) for name in self.kept_by_undone_steps}
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        every = [*self.variables, *self.metrics_variables, *optimizer.variables]
        return [variable for variable in every if id(variable) not in kept]

    def take_report(self) -> tuple[int, str] | None:
        """Reads what `fit` noted of steps that are not finite, and forgets it.

        Returns:
            The number of the first one since the last report, counted in `steps_taken` from 1, and
            the first quantity that was not finite in it; `None` where all were finite.
        """
        step, quantity = self.first_non_finite.numpy().tolist()
        if not step:
            return None
        self.first_non_finite.assign([0, 0])
        return step, self.quantities[quantity]

    def default_watch(self, callbacks: list[keras.callbacks.Callback]) -> list[NonFiniteWatch]:
        """The callback that looks after steps which are not finite, where none is given."""
        given = [one for one in callbacks if isinstance(one, NonFiniteWatch)]
        if self.on_non_finite == "skip" and any(isinstance(one, RollBack) for one in given):
            raise ValueError(
                "A step cannot both be skipped and be gone back from. Received: on_non_finite="
                "'skip' and a RollBack; allowed: one of them."
            )
        if given:
            return []
        return [CountSkippedSteps() if self.on_non_finite == "skip" else StopOnNonFinite()]
