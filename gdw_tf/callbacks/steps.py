"""Counting the steps of an epoch."""

from __future__ import annotations

import keras


def steps_done(callback: keras.callbacks.Callback, batch: int) -> int:
    """How many steps an epoch has taken.

    Where several steps are executed together (`steps_per_execution`), Keras counts beyond the end
    of the epoch, and its older versions name the first of them in the place of the last.

    Args:
        callback: one of the model in training.
        batch: what its `on_train_batch_end` is given, counted from 0.
    """
    together = getattr(callback.model, "steps_per_execution", 1)
    done = (batch // together + 1) * together
    steps = (callback.params or {}).get("steps")
    return min(done, steps) if steps else done
