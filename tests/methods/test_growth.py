"""What a long training must not do: take more memory from step to step, or trace its step again."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import keras
import pytest

import gdw_tf

from . import examples

MEBIBYTE = 2**20


def resident() -> int:
    """Bytes of memory that this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_grows_over_two_thousand_steps():
    x, y = examples.arrays(48)
    model = gdw_tf.GDW(examples.functional(dropout=0.5), memory=0.5, seed=0)
    model.compile(metrics=["accuracy"])
    step, traced, held = model.train_step, [], []

    def counted(data):
        traced.append(None)
        return step(data)

    model.train_step = counted
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: held.append((len(traced), resident()))
    )
    model.fit(
        x,
        y,
        meta_data=examples.arrays(24, seed=1),
        batch_size=24,
        steps_per_epoch=500,
        epochs=4,
        callbacks=[note],
        verbose=0,
    )
    assert int(model.steps_taken.numpy()) == 2000
    (traces, bytes_before), *_, (traces_at_the_end, bytes_after) = held
    assert traces_at_the_end == traces
    assert bytes_after - bytes_before < 16 * MEBIBYTE
