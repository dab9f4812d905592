"""`ReportProgress`: tells a method or a loss how much of the training is done."""

from __future__ import annotations

from typing import Any

import keras


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
