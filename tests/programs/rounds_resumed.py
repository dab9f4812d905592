"""Trains in rounds, once without a break and once with two, and compares; a program of its own.

python -m programs.rounds_resumed FOLDER

Operations are made deterministic for the whole process: the results must agree bit for bit.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import callbacks
from gdw_tf.workdir import Workdir

from .conftest import SHORT, run

ARGUMENTS = (
    *(*SHORT, "--meta=pseudo", "--num_meta=40", "--pseudo_warmup=2", "--pseudo_every=2"),
    *("--epochs=5", "--steps_per_epoch=3"),  # a pass over the training set takes four
)
save = callbacks.Checkpoints.on_epoch_end


def train(workdir: Path, *, stopped_in: int | None = None) -> None:
    """Trains, or goes on; stops in an epoch before its checkpoint is written."""

    def save_or_stop(self, epoch, logs=None):
        if epoch == stopped_in:
            raise KeyboardInterrupt
        save(self, epoch, logs)

    with mock.patch.object(callbacks.Checkpoints, "on_epoch_end", save_or_stop):
        try:
            finished = run("train", *ARGUMENTS, f"--workdir={workdir}", "--resume")
        except KeyboardInterrupt:
            assert stopped_in is not None
        else:
            assert stopped_in is None and finished.code == 0, finished.err


def state(workdir: Path) -> list[np.ndarray]:
    model = Workdir(workdir).checkpoints.latest().load()
    variables = [*model.variables, *model.optimizer.variables, *model.weight_optimizer.variables]
    with np.load(workdir / "pseudo_clean.npz") as choice:
        return [*map(np.asarray, variables), choice["epoch"], choice["indices"]]


def main(folder: Path) -> None:
    whole, broken = folder / "whole", folder / "broken"
    train(whole)
    train(broken, stopped_in=2)  # in the first epoch of the second round, whose meta set is chosen
    train(broken, stopped_in=3)  # within the round, when the model would choose another
    train(broken)
    for one, other in zip(state(whole), state(broken), strict=True):
        np.testing.assert_array_equal(one, other)


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    main(Path(sys.argv[1]))
