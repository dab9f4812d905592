"""`WeightCurve`: writes down what the weight net makes of a loss, epoch by epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np

LOSSES = np.linspace(0.0, 10.0, 41)
"""In nats. A uniform guess among 1,000 classes has a loss of 6.9."""


class WeightCurve(keras.callbacks.Callback):
    """Appends a row an epoch to a CSV file: the weights that `model.weight_net` gives to `LOSSES`.

    The columns are `epoch`, counted from 0, and the losses.

    Args:
        path: the file; one that is there is gone on with.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the row."""
        losses = keras.ops.convert_to_tensor(LOSSES[:, np.newaxis], keras.config.floatx())
        weights = np.asarray(self.model.weight_net(losses))[:, 0]
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["epoch", *LOSSES.tolist()])
            writer.writerow([epoch, *(f"{weight:.6g}" for weight in weights)])
